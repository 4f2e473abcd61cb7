// The storage account of the dead letters, separate from the host's, because they must survive everything else. By default it
// is replicated to the paired region and readable there when this region is lost.
@description('The name of the account.')
param name string

@description('The region.')
param location string

@description('Tags.')
param tags object

@description('The replication.')
param redundancy string

@description('Object id of the function app\'s identity.')
param handlerPrincipalId string

@description('Object ids of the operators, who repair dead letters.')
param operatorPrincipalIds array

@description('Subnet of the private endpoints; empty for public ones.')
param endpointSubnetId string

@description('DNS zone of blobs.')
param blobZoneId string

@description('DNS zone of queues.')
param queueZoneId string

@description('Whether a lock keeps the account from being deleted.')
param deleteLock bool

var roles = loadJsonContent('../roles.json')
var isPrivate = !empty(endpointSubnetId)

resource account 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: redundancy }
  properties: {
    allowSharedKeyAccess: false
    // The portal uses the operator's identity, too, instead of beginning with a key.
    defaultToOAuthAuthentication: true
    allowBlobPublicAccess: false
    supportsHttpsTrafficOnly: true
    minimumTlsVersion: 'TLS1_2'
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
  }

  resource queues 'queueServices' = {
    name: 'default'

    // The queueName in RawTelemetryFunction/function.json.
    resource queue 'queues' = {
      name: 'deadletterqueue'
    }
  }

  resource blobs 'blobServices' = {
    name: 'default'
    properties: {
      deleteRetentionPolicy: {
        enabled: true
        days: 14
      }
    }

    resource container 'containers' = {
      name: 'deadletters'
    }
  }
}

// Also of its queue and container by Azure Resource Manager, but not of messages and blobs.
resource keep 'Microsoft.Authorization/locks@2020-05-01' = if (deleteLock) {
  name: 'devicestate-keep'
  scope: account
  properties: {
    level: 'CanNotDelete'
    notes: 'The dead letters. Remove this lock before deleting the deployment.'
  }
}

resource hostMaySend 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account::queues::queue.id, handlerPrincipalId, roles.storageQueueDataMessageSender)
  scope: account::queues::queue
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageQueueDataMessageSender)
    principalId: handlerPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// To measure the age of the dead letters: this role can count and peek at messages, but not delete them.
resource handlerMayLook 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account::queues::queue.id, handlerPrincipalId, roles.storageQueueDataReader)
  scope: account::queues::queue
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageQueueDataReader)
    principalId: handlerPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource handlerMayKeepBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account::blobs::container.id, handlerPrincipalId, roles.storageBlobDataContributor)
  scope: account::blobs::container
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageBlobDataContributor)
    principalId: handlerPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource operatorsMayWorkOnMessages 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for principalId in operatorPrincipalIds: {
    name: guid(account.id, principalId, roles.storageQueueDataContributor)
    scope: account
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageQueueDataContributor)
      principalId: principalId
    }
  }
]

resource operatorsMayWorkOnBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for principalId in operatorPrincipalIds: {
    name: guid(account.id, principalId, roles.storageBlobDataContributor)
    scope: account
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageBlobDataContributor)
      principalId: principalId
    }
  }
]

module queueEndpoint 'private-endpoint.bicep' = if (isPrivate) {
  name: 'dead-letter-queue-endpoint'
  params: {
    name: 'pep-${name}-queue'
    location: location
    tags: tags
    targetId: account.id
    service: 'queue'
    subnetId: endpointSubnetId
    dnsZoneIds: [queueZoneId]
  }
}

module blobEndpoint 'private-endpoint.bicep' = if (isPrivate) {
  name: 'dead-letter-blob-endpoint'
  params: {
    name: 'pep-${name}-blob'
    location: location
    tags: tags
    targetId: account.id
    service: 'blob'
    subnetId: endpointSubnetId
    dnsZoneIds: [blobZoneId]
  }
  // Sequential: an account supports only one such change at a time.
  dependsOn: [queueEndpoint]
}

@description('Its name.')
output name string = account.name

@description('The address of the queues.')
output queueServiceUri string = account.properties.primaryEndpoints.queue

@description('The address of the blobs.')
output blobServiceUri string = account.properties.primaryEndpoints.blob

@description('The container of dead letters too large for the queue.')
output containerName string = account::blobs::container.name
