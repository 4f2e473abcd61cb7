// The Functions host's storage: checkpoints, leases, function keys, and the published package. Each function app has its own.
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

@description('Object id of the identity that publishes and downloads the package.')
param packagePrincipalId string

@description('The roles of the function app\'s identity: containers, on those that the host uses; account, on all blobs.')
@allowed(['containers', 'account'])
param hostStorageRoles string

var roles = loadJsonContent('../roles.json')
var isPrivate = !empty(endpointSubnetId)
var hasContainerRoles = hostStorageRoles == 'containers'

resource account 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: zoneRedundant ? 'Standard_ZRS' : 'Standard_LRS' }
  properties: {
    allowSharedKeyAccess: false
    // The portal uses the operator's identity, too, instead of beginning with a key.
    defaultToOAuthAuthentication: true
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

    // The containers of the host. They are created here instead of by the host, so that it gets roles on them and not on the
    // packages.

    // Checkpoints and owners of partitions, of the Event Hubs extension.
    resource checkpoints 'containers' = {
      name: 'azure-webjobs-eventhub'
    }

    // Locks, the last runs of timers, and the id of the host.
    resource locks 'containers' = {
      name: 'azure-webjobs-hosts'
    }

    // The keys of the functions.
    resource keys 'containers' = {
      name: 'azure-webjobs-secrets'
    }
  }
}

// The package has an identity of its own, so that the handler's identity cannot replace the program that runs with it. This
// limits a leaked token of the handler, and mistakes. It does not stop code that runs in the app: the plan requires that this
// identity is assigned to the app, too, and there any program that knows its client id or resource id gets a token of it.
resource packagesMayBePublished 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account::blobs::packages.id, packagePrincipalId, roles.storageBlobDataContributor)
  scope: account::blobs::packages
  properties: {
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles.storageBlobDataContributor
    )
    principalId: packagePrincipalId
    principalType: 'ServicePrincipal'
  }
}

// Owner, because the host leases blobs for its checkpoints and locks; its documentation requires it, on the account.
resource hostMayOwnCheckpoints 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (hasContainerRoles) {
  name: guid(account::blobs::checkpoints.id, handlerPrincipalId, roles.storageBlobDataOwner)
  scope: account::blobs::checkpoints
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageBlobDataOwner)
    principalId: handlerPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource hostMayOwnLocks 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (hasContainerRoles) {
  name: guid(account::blobs::locks.id, handlerPrincipalId, roles.storageBlobDataOwner)
  scope: account::blobs::locks
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageBlobDataOwner)
    principalId: handlerPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource hostMayOwnKeys 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (hasContainerRoles) {
  name: guid(account::blobs::keys.id, handlerPrincipalId, roles.storageBlobDataOwner)
  scope: account::blobs::keys
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageBlobDataOwner)
    principalId: handlerPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// The host's health check lists the containers every 30 seconds, which Azure allows only on the account; without it, it would
// log a warning each time. This role can read properties, but no blob and no key.
resource hostMayListContainers 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (hasContainerRoles) {
  name: guid(account.id, handlerPrincipalId, roles.reader)
  scope: account
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.reader)
    principalId: handlerPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// Instead of these four: also on the packages.
resource hostMayOwnBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!hasContainerRoles) {
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

// For the host's diagnostic events. The host creates a table each month and deletes old ones, which it finds by listing them,
// and Azure allows listing only on the account. The role allows nothing but tables, and the account has no others.
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
