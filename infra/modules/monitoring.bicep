// The workspace for the logs of the host and the handler.
@description('The unique part of the names.')
param token string

@description('The region.')
param location string

@description('Tags.')
param tags object

@description('Retention of the logs, in days.')
param retentionDays int

@description('Maximum GB of logs per day; -1 for no limit.')
param dailyQuotaGB int

@description('Object id of the function app\'s identity.')
param handlerPrincipalId string

@description('Object ids of the operators, who may query the logs.')
param operatorPrincipalIds array

var roles = loadJsonContent('../roles.json')

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-02-01' = {
  name: 'log-devicestate-${token}'
  location: location
  tags: tags
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: retentionDays
    workspaceCapping: { dailyQuotaGb: dailyQuotaGB }
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: 'appi-devicestate-${token}'
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspace.id
    // Only identities with the role below may write to it; the key in the connection string is not sufficient.
    DisableLocalAuth: true
  }
}

resource handlerMayPublish 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, handlerPrincipalId, roles.monitoringMetricsPublisher)
  scope: insights
  properties: {
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles.monitoringMetricsPublisher
    )
    principalId: handlerPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource operatorsMayQuery 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for principalId in operatorPrincipalIds: {
    name: guid(workspace.id, principalId, roles.logAnalyticsReader)
    scope: workspace
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.logAnalyticsReader)
      principalId: principalId
    }
  }
]

@description('The address for the host\'s telemetry.')
output connectionString string = insights.properties.ConnectionString

@description('The name of Application Insights.')
output applicationInsightsName string = insights.name

@description('The name of the workspace.')
output workspaceName string = workspace.name

@description('The id for queries of the workspace.')
output workspaceId string = workspace.properties.customerId
