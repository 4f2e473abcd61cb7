// Pairs two Event Hubs namespaces of one tier, with an alias that points to the first one until an operator fails it over
// (docs/operate/failover.md). The pairing replicates hub and consumer group to the second one, but not events or roles. It is
// deployed once, because neither the alias nor the second namespace can be deployed again.
@description('The name that producers connect to. Like that of a namespace it is unique in the world.')
param alias string

@description('The namespace that has the hub.')
param firstNamespace string

@description('The namespace without a hub.')
param secondNamespace string

@description('The tag of the resource group that records the pairing.')
param pairedTag string

resource first 'Microsoft.EventHub/namespaces@2024-01-01' existing = { name: firstNamespace }

// An older API version than the namespaces', which did not support this resource at first.
resource pair 'Microsoft.EventHub/namespaces/disasterRecoveryConfigs@2021-11-01' = {
  parent: first
  name: alias
  properties: { partnerNamespace: resourceId('Microsoft.EventHub/namespaces', secondNamespace) }
}

// Writes all tags of the group, because a single one cannot be written.
resource remembered 'Microsoft.Resources/tags@2024-03-01' = {
  name: 'default'
  properties: { tags: union(resourceGroup().?tags ?? {}, { '${pairedTag}': secondNamespace }) }
  dependsOn: [pair]
}
