"""What diskshadow prints, in the languages that it can be set to. English and Chinese are as captured where README.md says so."""

import time

ENGLISH = {
    "banner": "Microsoft DiskShadow version 1.0\nCopyright (C) 2013 Microsoft Corporation\nOn computer:  {computer},  {time}\n",
    "overwritten": "The existing file will be overwritten.",
    "alias": "Alias {alias} for shadow ID {id} set as environment variable.",
    "alias set": "Alias VSS_SHADOW_SET for shadow set ID {id} set as environment variable.",
    "inserted": "Inserted file {file} into .cab file {cab}",
    "querying set": "\nQuerying all shadow copies with the shadow copy set ID {id}\n",
    "querying id": "\nQuerying the shadow copy with the shadow copy ID {id}\n",
    "querying all": "\nQuerying all shadow copies on the computer ...\n",
    "shadow": "\t* Shadow copy ID = {id}\t\t{alias}",
    "set": "\t\t- Shadow copy set: {id}\t{alias}",
    "count": "\t\t- Original count of shadow copies = {count}",
    "volume": "\t\t- Original volume name: {guid} [{volume}\\]",
    "time": "\t\t- Creation time: {time}",
    "device": "\t\t- Shadow copy device name: {device}",
    "originating": "\t\t- Originating machine: {machine}",
    "service": "\t\t- Service machine: {machine}",
    "not exposed": "\t\t- Not exposed",
    "exposed": "\t\t- Exposed locally as: {place}\\",
    "provider": "\t\t- Provider ID: {id}",
    "attributes": "\t\t- Attributes:  {attributes}",
    "listed": "\nNumber of shadow copies listed: {count}",
    "none": "No shadow copies found in system.",
    "was exposed": "The shadow copy was successfully exposed as {place}\\.",
    "was unexposed": "The shadow copy ID {id} is no longer exposed.",
    "deleting": "Deleting shadow copy {id} on volume {guid} from provider {provider} [Attributes: {attributes}]...",
    "deleting id": "Deleting shadow copy {id}...",
    "deleted": "\nNumber of shadow copies deleted: {count}",
    "deleted id": "\n1 shadow copy deleted.",
    "excluding": 'Excluding writer "{writer}", because all of its components have been excluded.',
    "component excluded": 'Component "{component}" from writer "{writer}" is excluded from backup,\n'
    "because it requires volume {volume}\\ which is not in the shadow copy set.",
    "now excluded": 'The writer "{writer}" is now entirely excluded from the backup because the top-level\n'
    'non selectable component "{component}" is excluded.',
    "including": '\n* Including writer "{writer}":',
    "adding": "\t+ Adding component: {component}",
    "failed": "\nThe last operation failed.\n\t- Returned HRESULT: {code}\n\t- Error text: {text}",
    "com": '\nCOM call "{call}" failed.',
    "exec failed": "\nThe script {file} returned the error {code}.",
    "no such script": "\nThe script file name is not valid.\n",
    "writer failed": 'The writer "{writer}" is in the failed state: {word}.',
    "verify failed": 'The writer "{writer}" was to be verified, and is not included in the backup.',
    "unknown command": '\n"{line}" is not a known command.\n',
    "no volumes": "\nNo volumes in Shadow Copy Set.",
    "no such volume": '\nThe volume "{volume}" was not found.',
    "no such shadow": '\nThe shadow copy "{id}" was not found.',
    "not persistent": "\nA shadow copy that is not persistent cannot be exposed.",
    "place taken": "\n{place} is in use or is not an empty folder.",
    "no backup": "\nNo backup is in progress.",
    "no metadata": "\nNo metadata has been loaded.",
    "no such file": '\nThe file "{file}" cannot be read.',
    "not transportable": "\nThe metadata has no transportable shadow copy.",
    "not modelled": "\n{what}: not part of this emulator",
    "no script": "\nThe script file {file} cannot be opened.",
    "volumes": "\n{count} volume(s) in Shadow Copy Set.",
    "no aliases": "No Diskshadow aliases in the environment.",
}
CHINESE = {
    "banner": "Microsoft DiskShadow 版本 1.0\n版权所有 (C) 2013 Microsoft Corporation\n在计算机上: {computer}，{time}\n",
    "alias": "已将卷影 ID {id} 的别名 {alias} 设置为环境变量。",
    "alias set": "已将卷影集 ID {id} 的别名 VSS_SHADOW_SET 设置为环境变量。",
    "querying set": "\n正在查询卷影副本集 ID 为 {id} 的所有卷影副本\n",
    "shadow": "\t* 卷影副本 ID = {id}\t\t{alias}",
    "set": "\t\t- 卷影副本集: {id}\t{alias}",
    "count": "\t\t- 卷影副本原始数 = {count}",
    "volume": "\t\t- 原始卷名称: {guid} [{volume}\\]",
    "time": "\t\t- 创建时间: {time}",
    "device": "\t\t- 卷影副本设备名称: {device}",
    "originating": "\t\t- 原始计算机: {machine}",
    "service": "\t\t- 服务计算机: {machine}",
    "not exposed": "\t\t- 未暴露",
    "exposed": "\t\t- 本地暴露为: {place}\\",
    "provider": "\t\t- 提供程序 ID: {id}",
    "attributes": "\t\t- 属性:  {attributes}",
    "listed": "\n已列出的卷影副本数: {count}",
    "was exposed": "已成功将卷影副本暴露为 {place}\\。",
    "was unexposed": "卷影副本 ID {id} 不再暴露。",
    "deleting": "正在从提供程序 {provider} [属性: {attributes}]中删除卷 {guid} 上的卷影副本 {id}...",
    "deleted": "\n已删除的卷影副本数: {count}",
}
GERMAN = {
    "banner": "Microsoft DiskShadow, Version 1.0\nCopyright (C) 2013 Microsoft Corporation\nAuf Computer:  {computer},  {time}\n",
    "alias": "Der Alias {alias} für die Schattenkopie-ID {id} wurde als Umgebungsvariable festgelegt.",
    "alias set": "Der Alias VSS_SHADOW_SET für die Schattenkopiesatz-ID {id} wurde als Umgebungsvariable festgelegt.",
    "querying set": "\nAlle Schattenkopien mit der Schattenkopiesatz-ID {id} werden abgefragt.\n",
    "querying all": "\nAlle Schattenkopien auf dem Computer werden abgefragt ...\n",
    "shadow": "\t* Schattenkopie-ID = {id}\t\t{alias}",
    "set": "\t\t- Schattenkopiesatz: {id}\t{alias}",
    "count": "\t\t- Ursprüngliche Anzahl von Schattenkopien = {count}",
    "volume": "\t\t- Ursprünglicher Volumename: {guid} [{volume}\\]",
    "time": "\t\t- Erstellungszeit: {time}",
    "device": "\t\t- Gerätename der Schattenkopie: {device}",
    "originating": "\t\t- Ursprungscomputer: {machine}",
    "service": "\t\t- Dienstcomputer: {machine}",
    "not exposed": "\t\t- Nicht verfügbar gemacht",
    "exposed": "\t\t- Lokal verfügbar gemacht als: {place}\\",
    "provider": "\t\t- Anbieter-ID: {id}",
    "attributes": "\t\t- Attribute:  {attributes}",
    "listed": "\nAnzahl der aufgelisteten Schattenkopien: {count}",
    "none": "Im System wurden keine Schattenkopien gefunden.",
    "was exposed": "Die Schattenkopie wurde erfolgreich als {place}\\ verfügbar gemacht.",
    "was unexposed": "Die Schattenkopie-ID {id} ist nicht mehr verfügbar gemacht.",
    "deleting": "Die Schattenkopie {id} auf Volume {guid} von Anbieter {provider} [Attribute: {attributes}] wird gelöscht...",
    "deleting id": "Die Schattenkopie {id} wird gelöscht...",
    "deleted": "\nAnzahl der gelöschten Schattenkopien: {count}",
    "deleted id": "\n1 Schattenkopie wurde gelöscht.",
    "failed": "\nDer letzte Vorgang ist fehlgeschlagen.\n\t- Zurückgegebenes HRESULT: {code}\n\t- Fehlertext: {text}",
}
LANGUAGES = {"en": {}, "zh": CHINESE, "de": GERMAN}
TIMES = {"zh": "%Y/%-m/%-d %-H:%M:%S", "de": "%d.%m.%Y %H:%M:%S", "en": "%-m/%-d/%Y %-I:%M:%S %p"}
CODE_PAGES = {"en": "cp437", "zh": "cp936", "de": "cp850"}


def text(language, key, **values):
    return LANGUAGES[language].get(key, ENGLISH[key]).format(**values)


def when(language, seconds):
    return time.strftime(TIMES[language], time.localtime(seconds))


USAGE = {
    "set context": """
SET CONTEXT { CLIENTACCESSIBLE | PERSISTENT [ NOWRITERS ] | VOLATILE [ NOWRITERS ] }

\tCLIENTACCESSIBLE\tSpecify to create shadow copies usable by client versions of Windows.
\tPERSISTENT\t\tSpecify that shadow copy is persist across program exit, reset or reboot.
\tPERSISTENT NOWRITERS\tSpecify that shadow copy is persistent and all writers are excluded.
\tVOLATILE\t\tSpecify that shadow copy will be deleted on exit or reset.
\tVOLATILE NOWRITERS\tSpecify that shadow copy is volatile and all writers are excluded.

\tExample: SET CONTEXT CLIENTACCESSIBLE
""",
    "set option": """
SET OPTION { [DIFFERENTIAL | PLEX] [TRANSPORTABLE] [ROLLBACKRECOVER] [TXFRECOVER] | [NOAUTORECOVER] }
""",
    "set verbose": "\nSET VERBOSE {ON | OFF}\n",
    "set metadata": "\nSET METADATA [<drive>:][<path>]<metadata.cab>\n",
    "add volume": "\nADD VOLUME <volume> [ALIAS <aliasname>] [PROVIDER <providerid>]\n",
    "add alias": "\nADD ALIAS <aliasname> <aliasvalue>\n",
    "expose": "\nEXPOSE <shadowID> {<drive:> | <share> | <mountpoint>}\n",
    "unexpose": "\nUNEXPOSE {<shadowID> | <drive:> | <share> | <mountpoint>}\n",
    "exec": """
EXEC <file.cmd>
\tExecute a script file on the local machine.
\tThis command is used to duplicate or restore data as part of
\ta backup or restore sequence.
""",
    "list": "\nLIST { WRITERS [METADATA | DETAILED | STATUS] | SHADOWS {ALL | SET <setID> | ID <shadowID>} | PROVIDERS }\n",
    "delete": """
DELETE SHADOWS { ALL | VOLUME <volume> | OLDEST <volume> | SET <setID> | ID <shadowID> |
                 EXPOSED {<drive> | <mountpoint>} }
""",
    "load": "\nLOAD METADATA [<drive>:][<path>]<metadata.cab>\n",
    "writer": "\nWRITER {VERIFY | EXCLUDE} {<writer> | <component>}\n",
    "begin": "\nBEGIN {BACKUP | RESTORE}\n",
    "end": "\nEND {BACKUP | RESTORE}\n",
}
