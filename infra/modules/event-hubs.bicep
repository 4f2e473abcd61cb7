// The stream: a Standard namespace with auto-inflate, one hub, and the handler's own consumer group. The second namespace of a
// pair is empty when it is paired, and gets its hub and consumer group from the first.
@description('The name of the namespace.')
param name string

@description('The region.')
param location string

@description('Tags.')
param tags object

@description('Whether the hub and its consumer group are created.')
param withHub bool

@description('Whether the namespace is left unchanged: Azure rejects changes to the second namespace of a pair.')
param isKept bool

@description('The name of the hub.')
param hubName string

@description('The consumer group that belongs to the handler alone: readers of the same group compete for partitions.')
param consumerGroup string

@description('Partitions of the hub.')
param partitionCount int

@description('Retention of the hub, in hours.')
param retentionHours int

@description('Throughput units.')
param throughputUnits int

@description('Maximum throughput units.')
param maximumThroughputUnits int

@description('Whether it must be spread over the availability zones; otherwise it is as the service does it.')
param zoneRedundant bool

@description('Object id of the function app\'s identity.')
param handlerPrincipalId string

@description('Object ids of the identities that may send events.')
param senderPrincipalIds array

@description('Subnet of the private endpoint; empty for a public one.')
param endpointSubnetId string

@description('DNS zone of the private endpoint.')
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
    // Never false: the service spreads namespaces over the zones of its regions by itself, and rejects a later deployment that
    // changes this.
    zoneRedundant: zoneRedundant ? true : null
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

// On the namespace, not on its only hub: roles are not replicated. The pairing creates the hub of a standby, and recreates it
// in a failback; the role must exist before.
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
  dependsOn: [group]
}

@description('The address from which the host reads the hub: the namespace.')
output fullyQualifiedNamespace string = '${name}.servicebus.windows.net'
