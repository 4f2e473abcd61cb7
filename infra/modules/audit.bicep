// Audit logs of a region, in its workspace: who read, changed or deleted what. They are billed like all logs.
@description('The name of the workspace.')
param workspaceName string

@description('Storage account of the dead letters.')
param deadLetterStorageName string

@description('Storage account of the host.')
param hostStorageName string

@description('Resource id of the Cosmos DB account; empty if another region monitors it.')
param accountId string

@description('The Key Vault of the IoT Hub; empty without one.')
param vaultName string

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-02-01' existing = {
  name: workspaceName
}

resource deadLetters 'Microsoft.Storage/storageAccounts@2025-01-01' existing = {
  name: deadLetterStorageName

  resource queues 'queueServices' existing = { name: 'default' }
  resource blobs 'blobServices' existing = { name: 'default' }
}

resource host 'Microsoft.Storage/storageAccounts@2025-01-01' existing = {
  name: hostStorageName

  resource blobs 'blobServices' existing = { name: 'default' }
}

resource account 'Microsoft.DocumentDB/databaseAccounts@2025-10-15' existing = {
  name: empty(accountId) ? 'none' : last(split(accountId, '/'))
}

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: empty(vaultName) ? 'none' : vaultName
}

// Also who looked: a dead letter has a device's data.
var storageLogs = [
  for category in ['StorageRead', 'StorageWrite', 'StorageDelete']: {
    category: category
    enabled: true
  }
]

resource messageLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'devicestate-audit'
  scope: deadLetters::queues
  properties: {
    workspaceId: workspace.id
    logs: storageLogs
  }
}

resource blobLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'devicestate-audit'
  scope: deadLetters::blobs
  properties: {
    workspaceId: workspace.id
    logs: storageLogs
  }
}

// Who deleted checkpoints or packages. Not who wrote: that would be a row for each checkpoint and each renewal of a partition's
// owner, and no setting selects a container.
resource hostLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'devicestate-audit'
  scope: host::blobs
  properties: {
    workspaceId: workspace.id
    logs: [
      {
        category: 'StorageDelete'
        enabled: true
      }
    ]
  }
}

// Who changed the account, its keys, roles or firewall. DataPlaneRequests would be a row for each operation of the handler.
resource accountLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (!empty(accountId)) {
  name: 'devicestate-audit'
  scope: account
  properties: {
    workspaceId: workspace.id
    logAnalyticsDestinationType: 'Dedicated'
    logs: [
      {
        category: 'ControlPlaneRequests'
        enabled: true
      }
    ]
  }
}

resource vaultLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (!empty(vaultName)) {
  name: 'devicestate-audit'
  scope: vault
  properties: {
    workspaceId: workspace.id
    logAnalyticsDestinationType: 'Dedicated'
    logs: [
      {
        categoryGroup: 'audit'
        enabled: true
      }
    ]
  }
}
