// The Service Bus path, in which the service itself keeps the order of each device: a queue with sessions, one per device. Only
// the expensive tier Premium has private endpoints, so the tier is Standard unless the network is private. Each region has
// its own independent namespace: pairing would need Premium twice, and would not replicate messages.
@description('The name of the namespace.')
param name string

@description('The region.')
param location string

@description('Tags.')
param tags object

@description('The name of the queue.')
param queueName string

@description('Time in hours after which a message expires into the dead-letter sub-queue: the retention of the hub.')
param retentionHours int

@description('Object id of the function app\'s identity.')
param handlerPrincipalId string

@description('Whether the function app may also manage the queue.')
param handlerMayManage bool

@description('Object ids of the operators, who inspect the dead-letter sub-queue, and remove messages from it.')
param operatorPrincipalIds array

@description('Object ids of the identities that may send messages.')
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
    // An outage must not exceed the delivery count. The handler delays each failed delivery by up to a minute, so this is a day
    // and a half for the current message of a session; a higher value may not be accepted in a template.
    maxDeliveryCount: 2000
    // The host renews the locks of its sessions. After an instance is killed, its sessions are blocked for this long.
    lockDuration: 'PT1M'
    defaultMessageTimeToLive: 'PT${retentionHours}H'
    deadLetteringOnMessageExpiration: true
    // The maximum without partitions. A full queue rejects messages, and the senders get an error.
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

// The platform scales by the length of the queue, and reads it as the function app, for which Receiver is not sufficient. The
// role may also change and delete the queue.
resource handlerMayOwn 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (handlerMayManage) {
  name: guid(queue.id, handlerPrincipalId, roles.serviceBusDataOwner)
  scope: queue
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataOwner)
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

// A role cannot be assigned on the sub-queue only.
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
  dependsOn: [queue]
}

@description('The address of the namespace.')
output fullyQualifiedNamespace string = '${name}.servicebus.windows.net'
