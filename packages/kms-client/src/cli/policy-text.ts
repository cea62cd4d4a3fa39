import { bytesKey, type PolicyExpression } from '@tkms/dkg'

/** An owner expression for people: "ed25519:..", "2 of (a, b, c)"; nobody where there is none. */
export function describePolicy(expression: PolicyExpression | undefined): string {
  if (expression === undefined) return 'nobody by label'
  switch (expression.kind) {
    case 'ed25519':
      return `ed25519:${bytesKey(expression.key)}`
    case 'ethereum':
      return `eip712:0x${bytesKey(expression.address)}`
    case 'measurement':
      return `measurement:${bytesKey(expression.hash)}`
    case 'of':
      return `${expression.m} of (${expression.expressions.map(describePolicy).join(', ')})`
  }
}
