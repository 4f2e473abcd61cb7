param name string
param location string
param tags object
param withHub bool
param isKept bool
param hubName string
param consumerGroup string
param partitionCount int
param retentionHours int
param throughputUnits int
param maximumThroughputUnits int
param zoneRedundant bool
param handlerPrincipalId string
param senderPrincipalIds array
param endpointSubnetId string
param dnsZoneId string

var roles = loadJsonContent('../roles.json')
var isPrivate = !empty(endpointSubnetId)

resource namespace 'Microsoft.EventHub/namespaces@2024-01-01' = if (!isKept) {
  name: name
  location: location
  tags: tags
  sku: {
    name: 'Standard'
    tier: 'Standard'
    capacity: throughputUnits
  }
  properties: {
    isAutoInflateEnabled: maximumThroughputUnits > throughputUnits
    maximumThroughputUnits: maximumThroughputUnits > throughputUnits ? maximumThroughputUnits : 0
    zoneRedundant: zoneRedundant
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
  }
}

resource hub 'Microsoft.EventHub/namespaces/eventhubs@2024-01-01' = if (withHub) {
  parent: namespace
  name: hubName
  properties: {
    partitionCount: partitionCount
    retentionDescription: {
      cleanupPolicy: 'Delete'
      retentionTimeInHours: retentionHours
    }
  }
}

resource group 'Microsoft.EventHub/namespaces/eventhubs/consumergroups@2024-01-01' = if (withHub) {
  parent: hub
  name: consumerGroup
  properties: {}
}

resource handlerMayReceive 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(namespace.id, handlerPrincipalId, roles.eventHubsDataReceiver)
  scope: namespace
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.eventHubsDataReceiver)
    principalId: handlerPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource sendersMaySend 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for principalId in senderPrincipalIds: {
    name: guid(namespace.id, principalId, roles.eventHubsDataSender)
    scope: namespace
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.eventHubsDataSender)
      principalId: principalId
    }
  }
]

module endpoint 'private-endpoint.bicep' = if (isPrivate) {
  name: 'event-hubs-endpoint'
  params: {
    name: 'pep-${name}'
    location: location
    tags: tags
    targetId: namespace.id
    service: 'namespace'
    subnetId: endpointSubnetId
    dnsZoneIds: [dnsZoneId]
  }
}

output fullyQualifiedNamespace string = '${name}.servicebus.windows.net'
