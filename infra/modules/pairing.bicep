// Two Event Hubs namespaces of one tier and the alias that leads to the first of them until somebody fails it over
// (docs/operate/failover.md). From then on hub and consumer group of the first are made in the second, too: not the events, and
// not the roles. Done once, since neither the alias nor the second namespace can be deployed again.
@description('The name that producers connect to. Like that of a namespace it is unique in the world.')
param alias string

@description('The namespace that has the hub.')
param firstNamespace string

@description('The namespace that has none.')
param secondNamespace string

@description('The tag of the resource group that remembers the pairing.')
param pairedTag string

resource first 'Microsoft.EventHub/namespaces@2024-01-01' existing = { name: firstNamespace }

// Not of the namespaces' own version, which had no route for it when it was new.
resource pair 'Microsoft.EventHub/namespaces/disasterRecoveryConfigs@2021-11-01' = {
  parent: first
  name: alias
  properties: { partnerNamespace: resourceId('Microsoft.EventHub/namespaces', secondNamespace) }
}

// All tags of the group are written: this is the only way.
resource remembered 'Microsoft.Resources/tags@2024-03-01' = {
  name: 'default'
  properties: { tags: union(resourceGroup().?tags ?? {}, { '${pairedTag}': secondNamespace }) }
  dependsOn: [pair]
}
