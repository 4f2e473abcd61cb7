using 'main.bicep'

param environmentName = 'reference'
param operatorPrincipalIds = ['11111111-1111-1111-1111-111111111111']
param senderPrincipalIds = ['22222222-2222-2222-2222-222222222222']
param privateNetwork = true
param privateFunctionApp = true
param auditLogs = true
param deleteLocks = true
