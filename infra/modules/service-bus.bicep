// The second way in, for those who want an order for each device that the service itself keeps: a Service Bus queue with
// sessions, the session of which is the device. Of the tiers only Premium has private endpoints, at a price of its own; so
// it is Standard, unless the network is closed. A region has its own, and they know nothing of each other: pairing them
// would take Premium twice, and would replicate no message.
@description('The name of the namespace.')
param name string

@description('The region.')
param location string

@description('Tags.')
param tags object

@description('The name of the queue.')
param queueName string

@description('How long a message waits before it goes into the dead-letter sub-queue, in hours: as long as the hub keeps an event.')
param retentionHours int

@description('Object id of the function app\'s identity.')
param handlerPrincipalId string

@description('Object ids of those who look into the dead-letter sub-queue, and take messages out of it.')
param operatorPrincipalIds array

@description('Object ids of those that may send messages.')
param senderPrincipalIds array

@description('Subnet of the private endpoint; empty for a public one.')
param endpointSubnetId string

@description('DNS zone of the private endpoint.')
param dnsZoneId string

var roles = loadJsonContent('../roles.json')
var isPrivate = !empty(endpointSubnetId)

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' = {
  name: name
  location: location
  tags: tags
  sku: isPrivate
    ? {
        name: 'Premium'
        tier: 'Premium'
        capacity: 1
      }
    : {
        name: 'Standard'
        tier: 'Standard'
      }
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
  }
}

resource queue 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = {
  parent: namespace
  name: queueName
  properties: {
    requiresSession: true
    // An outage must not use the deliveries up. The handler holds each failed one back for up to a minute, so this is a day
    // and a half for the message that a session stands at; nothing above it is known to be taken in a template.
    maxDeliveryCount: 2000
    // The host renews the lock of a session that it works on. How long it is matters where an instance is killed: so long
    // nobody else gets its sessions.
    lockDuration: 'PT1M'
    defaultMessageTimeToLive: 'PT${retentionHours}H'
    deadLetteringOnMessageExpiration: true
    // The most that there is without partitions. What is full takes no more, and its senders are told so.
    maxSizeInMegabytes: 5120
  }
}

resource handlerMayReceive 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(queue.id, handlerPrincipalId, roles.serviceBusDataReceiver)
  scope: queue
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataReceiver)
    principalId: handlerPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource sendersMaySend 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for principalId in senderPrincipalIds: {
    name: guid(queue.id, principalId, roles.serviceBusDataSender)
    scope: queue
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataSender)
      principalId: principalId
    }
  }
]

// A role on the sub-queue alone there is not.
resource operatorsMayReceive 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for principalId in operatorPrincipalIds: {
    name: guid(queue.id, principalId, roles.serviceBusDataReceiver)
    scope: queue
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataReceiver)
      principalId: principalId
    }
  }
]

module endpoint 'private-endpoint.bicep' = if (isPrivate) {
  name: 'service-bus-endpoint'
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

@description('The address of the namespace.')
output fullyQualifiedNamespace string = '${name}.servicebus.windows.net'
