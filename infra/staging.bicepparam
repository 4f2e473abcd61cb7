// What the pipeline deploys to staging: small, and with a device for the drill of the smoke test.
using 'main.bicep'

param environmentName = 'staging'
param zoneRedundant = false
param retryDrillDevice = 'smoke-test'
param maximumThroughputUnits = 2
// Object ids, separated by commas. Without any: the account that deploys. Otherwise they must include the pipeline's, because
// the smoke test reads the document.
param operatorPrincipalIds = filter(
  map(split(readEnvironmentVariable('OPERATOR_PRINCIPAL_IDS', ''), ','), id => trim(id)),
  id => !empty(id)
)
param senderPrincipalIds = filter(
  map(split(readEnvironmentVariable('SENDER_PRINCIPAL_IDS', ''), ','), id => trim(id)),
  id => !empty(id)
)
