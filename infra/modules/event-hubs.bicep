// The stream: a Standard namespace that raises its own throughput, one hub, and the handler's own consumer group.
@description('The name of the namespace.')
param name string

@description('The region.')
param location string

@description('Tags.')
param tags object

@description('The name of the hub.')
param hubName string

@description('The consumer group that belongs to the handler alone: readers of one group take each other\'s partitions.')
param consumerGroup string

@description('Partitions of the hub.')
param partitionCount int

@description('How long events are kept, in hours.')
param retentionHours int

@description('Throughput units.')
param throughputUnits int

@description('Most throughput units.')
param maximumThroughputUnits int

@description('Whether it is spread over the availability zones.')
param zoneRedundant bool

@description('Object id of the function app\'s identity.')
param handlerPrincipalId string

@description('Object ids of those that may send events.')
param senderPrincipalIds array

@description('Subnet of the private endpoint; empty for a public one.')
param endpointSubnetId string

@description('DNS zone of the private endpoint.')
param dnsZoneId string

var roles = loadJsonContent('../roles.json')
var isPrivate = !empty(endpointSubnetId)

resource namespace 'Microsoft.EventHub/namespaces@2024-01-01' = {
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

resource hub 'Microsoft.EventHub/namespaces/eventhubs@2024-01-01' = {
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

resource group 'Microsoft.EventHub/namespaces/eventhubs/consumergroups@2024-01-01' = {
  parent: hub
  name: consumerGroup
  properties: {}
}

resource handlerMayReceive 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(hub.id, handlerPrincipalId, roles.eventHubsDataReceiver)
  scope: hub
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.eventHubsDataReceiver)
    principalId: handlerPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource sendersMaySend 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for principalId in senderPrincipalIds: {
    name: guid(hub.id, principalId, roles.eventHubsDataSender)
    scope: hub
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

@description('The address by which the host reads the hub. It is the namespace\'s own and never an alias: checkpoints are kept by it.')
output fullyQualifiedNamespace string = split(split(namespace.properties.serviceBusEndpoint, '/')[2], ':')[0]
