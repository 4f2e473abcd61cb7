// The documents: one container with one item per device. Two settings matter for correctness: one write region, because an
// ETag condition protects only within one region, and at least Session consistency.
@description('The name of the account.')
param name string

@description('The write region.')
param location string

@description('Tags.')
param tags object

@description('Maximum request units per second.')
param maximumThroughput int

@description('The region of the replica, for a failover; empty for none.')
param standbyLocation string

@description('Paths to index.')
param indexedPaths array

@description('Whether each region is spread over its availability zones.')
param zoneRedundant bool

@description('Object ids of the identities of the function apps, one for each region.')
param handlerPrincipalIds array

@description('Object ids of the operators, who read the documents and write them by replaying dead letters.')
param operatorPrincipalIds array

@description('Subnet of the private endpoint; empty for a public one.')
param endpointSubnetId string

@description('DNS zone of the private endpoint.')
param dnsZoneId string

@description('Whether a lock keeps the account from being deleted.')
param deleteLock bool

var isPrivate = !empty(endpointSubnetId)
var regions = empty(standbyLocation) ? [location] : [location, standbyLocation]

resource account 'Microsoft.DocumentDB/databaseAccounts@2025-10-15' = {
  name: name
  location: location
  tags: tags
  kind: 'GlobalDocumentDB'
  properties: {
    databaseAccountOfferType: 'Standard'
    consistencyPolicy: { defaultConsistencyLevel: 'Session' }
    locations: [
      for (region, index) in regions: {
        locationName: region
        failoverPriority: index
        isZoneRedundant: zoneRedundant
      }
    ]
    enableMultipleWriteLocations: false
    enableAutomaticFailover: true
    disableLocalAuth: true
    disableKeyBasedMetadataWriteAccess: true
    minimalTlsVersion: 'Tls12'
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
    // The last seven days, free of charge.
    backupPolicy: {
      type: 'Continuous'
      continuousModeProperties: { tier: 'Continuous7Days' }
    }
  }

  resource database 'sqlDatabases' = {
    name: 'devicestate'
    properties: {
      resource: { id: 'devicestate' }
    }

    resource container 'containers' = {
      name: 'devices'
      properties: {
        resource: {
          id: 'devices'
          partitionKey: {
            paths: ['/id']
            kind: 'Hash'
            version: 2
          }
          // Batches only read and write single items. The silence watch and the read API query. Each indexed path makes a write
          // that changes it more expensive; by how much is not measured here, only a real account shows it.
          indexingPolicy: {
            indexingMode: 'consistent'
            automatic: true
            includedPaths: [for path in indexedPaths: { path: path }]
            excludedPaths: [{ path: '/*' }]
          }
        }
        options: {
          autoscaleSettings: { maxThroughput: maximumThroughput }
        }
      }
    }
  }

  // Sequential: an account supports only one change at a time. This applies to all following resources.
  //
  // The built-in contributor may also delete, which the handler does not. The handler queries to find silent devices, for the
  // read API, and once after its start: it lists some documents, to learn whether a device that fails alone is faulty.
  resource stateWriter 'sqlRoleDefinitions' = {
    name: guid(account.id, 'devicestate-state-writer')
    properties: {
      roleName: 'devicestate state writer'
      type: 'CustomRole'
      assignableScopes: [account.id]
      permissions: [
        {
          dataActions: [
            'Microsoft.DocumentDB/databaseAccounts/readMetadata'
            'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/read'
            'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/create'
            'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/replace'
            'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/executeQuery'
          ]
        }
      ]
    }
    dependsOn: [database::container]
  }

  @batchSize(1)
  resource handlersMayWrite 'sqlRoleAssignments' = [
    for principalId in handlerPrincipalIds: {
      name: guid(account.id, principalId, 'devicestate-state-writer')
      properties: {
        roleDefinitionId: stateWriter.id
        principalId: principalId
        // Not only the container: a client first reads the account's regions.
        scope: account.id
      }
    }
  ]

  @batchSize(1)
  resource operatorsMayRead 'sqlRoleAssignments' = [
    for principalId in operatorPrincipalIds: {
      name: guid(account.id, principalId, 'reader')
      properties: {
        // Cosmos DB Built-in Data Reader.
        roleDefinitionId: '${account.id}/sqlRoleDefinitions/00000000-0000-0000-0000-000000000001'
        principalId: principalId
        scope: account.id
      }
      dependsOn: [handlersMayWrite]
    }
  ]

  // An operator who replays a dead letter writes its device's document, like the handler.
  @batchSize(1)
  resource operatorsMayWrite 'sqlRoleAssignments' = [
    for principalId in operatorPrincipalIds: {
      name: guid(account.id, principalId, 'devicestate-state-writer')
      properties: {
        roleDefinitionId: stateWriter.id
        principalId: principalId
        scope: account.id
      }
      dependsOn: [operatorsMayRead]
    }
  ]
}

// Also of its database and container by Azure Resource Manager, but not of documents.
resource keep 'Microsoft.Authorization/locks@2020-05-01' = if (deleteLock) {
  name: 'devicestate-keep'
  scope: account
  properties: {
    level: 'CanNotDelete'
    notes: 'The documents. Remove this lock before deleting the deployment.'
  }
}

module endpoint 'private-endpoint.bicep' = if (isPrivate) {
  name: 'documents-endpoint'
  params: {
    name: 'pep-${name}'
    location: location
    tags: tags
    targetId: account.id
    service: 'Sql'
    subnetId: endpointSubnetId
    dnsZoneIds: [dnsZoneId]
  }
  dependsOn: [account::handlersMayWrite]
}

@description('The account\'s address.')
output endpoint string = account.properties.documentEndpoint

@description('The account\'s resource id.')
output accountId string = account.id

@description('The database.')
output databaseName string = account::database.name

@description('The container.')
output containerName string = account::database::container.name
