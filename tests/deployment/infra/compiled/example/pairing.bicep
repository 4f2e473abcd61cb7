param alias string
param firstNamespace string
param secondNamespace string
param pairedTag string

resource first 'Microsoft.EventHub/namespaces@2024-01-01' existing = { name: firstNamespace }

resource pair 'Microsoft.EventHub/namespaces/disasterRecoveryConfigs@2021-11-01' = {
  parent: first
  name: alias
  properties: { partnerNamespace: resourceId('Microsoft.EventHub/namespaces', secondNamespace) }
}

resource remembered 'Microsoft.Resources/tags@2024-03-01' = {
  name: 'default'
  properties: { tags: union(resourceGroup().?tags ?? {}, { '${pairedTag}': secondNamespace }) }
  dependsOn: [pair]
}
