param name string
param location string
param tags object
param maximumThroughput int
param standbyLocation string
param indexedPaths array
param zoneRedundant bool
param handlerPrincipalIds array
param operatorPrincipalIds array
param endpointSubnetId string
param dnsZoneId string

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
        scope: account.id
      }
    }
  ]

  @batchSize(1)
  resource operatorsMayRead 'sqlRoleAssignments' = [
    for principalId in operatorPrincipalIds: {
      name: guid(account.id, principalId, 'reader')
      properties: {
        roleDefinitionId: '${account.id}/sqlRoleDefinitions/00000000-0000-0000-0000-000000000001'
        principalId: principalId
        scope: account.id
      }
      dependsOn: [handlersMayWrite]
    }
  ]

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

output endpoint string = account.properties.documentEndpoint

output accountId string = account.id

output databaseName string = account::database.name

output containerName string = account::database::container.name
