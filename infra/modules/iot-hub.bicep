// An IoT Hub instead of Event Hubs. Its built-in endpoint supports only a shared access signature, the only secret of the
// system. It is created here and stored in a Key Vault without being shown, and the function app has a reference to it.
@description('The unique part of the names.')
param token string

@description('The region.')
param location string

@description('Tags.')
param tags object

@description('The consumer group that belongs to the handler alone.')
param consumerGroup string

@description('Partitions of the built-in endpoint.')
param partitionCount int

@description('Retention of the built-in endpoint, in days.')
param retentionDays int

@description('The edition of the IoT Hub.')
param sku string

@description('The number of units of the IoT Hub.')
param units int

@description('Object id of the function app\'s identity.')
param handlerPrincipalId string

@description('Object ids of the operators, who may register devices.')
param operatorPrincipalIds array

@description('Subnet of the private endpoints; empty for public ones.')
param endpointSubnetId string

@description('DNS zones of the IoT Hub\'s private endpoint.')
param iotHubZoneIds array

@description('DNS zone of the Key Vault\'s private endpoint.')
param vaultZoneId string

var roles = loadJsonContent('../roles.json')
var isPrivate = !empty(endpointSubnetId)
var policy = 'devicestate'

resource hub 'Microsoft.Devices/IotHubs@2023-06-30' = {
  name: 'iot-devicestate-${token}'
  location: location
  tags: tags
  sku: {
    name: sku
    capacity: units
  }
  properties: {
    eventHubEndpoints: {
      events: {
        partitionCount: partitionCount
        retentionTimeInDays: retentionDays
      }
    }
    // Only for reading the built-in endpoint, without permissions to send or to read devices.
    authorizationPolicies: [
      {
        keyName: policy
        rights: 'ServiceConnect'
      }
    ]
    minTlsVersion: '1.2'
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
  }
}

resource group 'Microsoft.Devices/IotHubs/eventHubEndpoints/ConsumerGroups@2023-06-30' = {
  name: '${hub.name}/events/${consumerGroup}'
  properties: { name: consumerGroup }
}

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  name: 'kv-${token}'
  location: location
  tags: tags
  properties: {
    tenantId: subscription().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    // A deleted vault can be recovered for this time, and is not deleted for good before it ends. The shortest is sufficient,
    // because a deployment writes the secret again; until then the name is taken.
    enableSoftDelete: true
    softDeleteRetentionInDays: 7
    enablePurgeProtection: true
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
    // The template itself writes the secret through Azure Resource Manager, which is a trusted service.
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: isPrivate ? 'Deny' : 'Allow'
    }
  }

  resource connection 'secrets' = {
    name: 'EventHubConnection'
    properties: {
      value: 'Endpoint=${hub.properties.eventHubEndpoints.events.endpoint};SharedAccessKeyName=${policy};SharedAccessKey=${listKeys(resourceId('Microsoft.Devices/IotHubs/IotHubKeys', hub.name, policy), hub.apiVersion).primaryKey};EntityPath=${hub.properties.eventHubEndpoints.events.path}'
      contentType: 'Event Hubs connection string of the IoT Hub\'s built-in endpoint'
    }
  }
}

resource handlerMayReadSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, handlerPrincipalId, roles.keyVaultSecretsUser)
  scope: vault
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.keyVaultSecretsUser)
    principalId: handlerPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource operatorsMayRegisterDevices 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for principalId in operatorPrincipalIds: {
    name: guid(hub.id, principalId, roles.iotHubRegistryContributor)
    scope: hub
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.iotHubRegistryContributor)
      principalId: principalId
    }
  }
]

module hubEndpoint 'private-endpoint.bicep' = if (isPrivate) {
  name: 'iot-hub-endpoint'
  params: {
    name: 'pep-${hub.name}'
    location: location
    tags: tags
    targetId: hub.id
    service: 'iotHub'
    subnetId: endpointSubnetId
    dnsZoneIds: iotHubZoneIds
  }
  dependsOn: [group]
}

module vaultEndpoint 'private-endpoint.bicep' = if (isPrivate) {
  name: 'key-vault-endpoint'
  params: {
    name: 'pep-${vault.name}'
    location: location
    tags: tags
    targetId: vault.id
    service: 'vault'
    subnetId: endpointSubnetId
    dnsZoneIds: [vaultZoneId]
  }
}

@description('The location of the connection string, without a version, so that a new key is found.')
output connectionSecretUri string = vault::connection.properties.secretUri

@description('The address of the built-in endpoint\'s namespace, which is part of the paths of the checkpoints.')
output namespace string = split(split(hub.properties.eventHubEndpoints.events.endpoint, '/')[2], ':')[0]

@description('The name of the vault.')
output vaultName string = vault.name

@description('The name of the IoT Hub.')
output name string = hub.name

@description('The name of the built-in endpoint\'s hub.')
output hubName string = hub.properties.eventHubEndpoints.events.path
