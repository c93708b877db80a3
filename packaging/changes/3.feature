Backup products: Bacula, NetBackup, and every other one through the generic contract: exit codes, a result file, no more output than the product bears.
