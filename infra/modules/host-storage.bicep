// The Functions host's storage: checkpoints, leases, and the published package. Each function app has its own.
@description('The name of the account.')
param name string

@description('The region.')
param location string

@description('Tags.')
param tags object

@description('Whether it is spread over the availability zones.')
param zoneRedundant bool

@description('Object id of the function app\'s identity.')
param handlerPrincipalId string

@description('Object ids of the operators, who may rewind checkpoints.')
param operatorPrincipalIds array

@description('Subnet of the private endpoints; empty for public ones.')
param endpointSubnetId string

@description('DNS zone of blobs.')
param blobZoneId string

@description('DNS zone of tables.')
param tableZoneId string

var roles = loadJsonContent('../roles.json')
var isPrivate = !empty(endpointSubnetId)

resource account 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: zoneRedundant ? 'Standard_ZRS' : 'Standard_LRS' }
  properties: {
    allowSharedKeyAccess: false
    allowBlobPublicAccess: false
    supportsHttpsTrafficOnly: true
    minimumTlsVersion: 'TLS1_2'
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
  }

  resource blobs 'blobServices' = {
    name: 'default'

    resource packages 'containers' = {
      name: 'packages'
    }

    // The container of the Event Hubs extension's checkpoints. It is created here instead of by the extension, so that
    // operators get a role on it and not on the packages.
    resource checkpoints 'containers' = {
      name: 'azure-webjobs-eventhub'
    }
  }
}

// Owner, because the host leases blobs for its checkpoints and locks; its documentation requires it.
resource hostMayOwnBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account.id, handlerPrincipalId, roles.storageBlobDataOwner)
  scope: account
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageBlobDataOwner)
    principalId: handlerPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// For scripts/rewind-checkpoints.sh, which deletes checkpoints.
resource operatorsMayRewind 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for principalId in operatorPrincipalIds: {
    name: guid(account::blobs::checkpoints.id, principalId, roles.storageBlobDataContributor)
    scope: account::blobs::checkpoints
    properties: {
      roleDefinitionId: subscriptionResourceId(
        'Microsoft.Authorization/roleDefinitions',
        roles.storageBlobDataContributor
      )
      principalId: principalId
    }
  }
]

// For the host's diagnostic events.
resource hostMayWriteTables 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account.id, handlerPrincipalId, roles.storageTableDataContributor)
  scope: account
  properties: {
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles.storageTableDataContributor
    )
    principalId: handlerPrincipalId
    principalType: 'ServicePrincipal'
  }
}

module blobEndpoint 'private-endpoint.bicep' = if (isPrivate) {
  name: 'host-blob-endpoint'
  params: {
    name: 'pep-${name}-blob'
    location: location
    tags: tags
    targetId: account.id
    service: 'blob'
    subnetId: endpointSubnetId
    dnsZoneIds: [blobZoneId]
  }
}

module tableEndpoint 'private-endpoint.bicep' = if (isPrivate) {
  name: 'host-table-endpoint'
  params: {
    name: 'pep-${name}-table'
    location: location
    tags: tags
    targetId: account.id
    service: 'table'
    subnetId: endpointSubnetId
    dnsZoneIds: [tableZoneId]
  }
  // Sequential: an account supports only one such change at a time.
  dependsOn: [blobEndpoint]
}

@description('Its name.')
output name string = account.name

@description('The address of the blobs.')
output blobServiceUri string = account.properties.primaryEndpoints.blob

@description('The address of the tables.')
output tableServiceUri string = account.properties.primaryEndpoints.table

@description('The container to which the package is published.')
output packageContainerUri string = '${account.properties.primaryEndpoints.blob}${account::blobs::packages.name}'
