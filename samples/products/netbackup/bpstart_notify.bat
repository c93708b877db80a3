@echo off
rem NetBackup\bin\bpstart_notify.POLICY.bat on a Windows client: client policy schedule type 0 result-file
"%ProgramFiles%\splitmirror\splitmirror-pre.exe" --product netbackup --limit 4h %* <nul >nul 2>&1
exit /b %ERRORLEVEL%
