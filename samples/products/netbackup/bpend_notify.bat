@echo off
rem NetBackup\bin\bpend_notify.POLICY.bat on a Windows client: client policy schedule type status result-file
"%ProgramFiles%\splitmirror\splitmirror-post.exe" --product netbackup %* <nul >nul 2>&1
exit /b %ERRORLEVEL%
