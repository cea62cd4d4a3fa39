import { concatBytes } from '@noble/hashes/utils.js'
import { dkgError } from '../errors.ts'
import { bytesKey, decodeAll, equalBytes, list, type Reader, u8, varBytes } from '../primitives/codec.ts'
import type { Curve } from '../primitives/curve.ts'
import { taggedHash, taggedHashBy } from '../primitives/hash.ts'

/** One who can satisfy an owner expression. */
export type Principal =
  /** An Ed25519 public key, 32 bytes. */
  | { readonly kind: 'ed25519'; readonly key: Uint8Array }
  /** An Ethereum address, 20 bytes. */
  | { readonly kind: 'ethereum'; readonly address: Uint8Array }
  /** SHA-256 of a measurement list, 32 bytes. */
  | { readonly kind: 'measurement'; readonly hash: Uint8Array }

/** Who may open an envelope by its label: one principal, or m of several expressions (interfaces 4). */
export type PolicyExpression =
  | Principal
  | { readonly kind: 'of'; readonly m: number; readonly expressions: readonly PolicyExpression[] }

/** Levels of an expression; a lone principal has one. */
export const MAX_POLICY_DEPTH = 4
/** Principals in an expression. */
export const MAX_POLICY_LEAVES = 32
/** Above the longest expression within the two limits (1,700 bytes). */
export const MAX_POLICY_BYTES = 2048

const OF = 16

/** Any one of these is enough. */
export const anyOf = (expressions: readonly PolicyExpression[]): PolicyExpression => ({ kind: 'of', m: 1, expressions })

/** All of these together. */
export const allOf = (expressions: readonly PolicyExpression[]): PolicyExpression => ({
  kind: 'of',
  m: expressions.length,
  expressions,
})

/** TH("policy", policy), 32 bytes: what a label binds (protocol 10.2). @param curve hashes with the SHA-256 of its backend */
export const policyHash = (policy: Uint8Array, curve?: Curve): Uint8Array =>
  curve === undefined ? taggedHash('policy', policy) : taggedHashBy(curve, 'policy', policy)

/**
 * Policy bytes: `u8 1 || key(32)` | `u8 2 || address(20)` | `u8 3 || hash(32)` | `u8 16 || u8 m || list(var expression)`; no expression = no bytes.
 * @throws KmsError `bad-parameters` for an expression beyond the limits
 */
export function encodePolicy(expression: PolicyExpression | undefined): Uint8Array {
  if (expression === undefined) return new Uint8Array(0)
  const fault = expressionFault(expression)
  if (fault !== undefined) throw dkgError('bad-parameters', `a policy ${fault}`)
  return encodeExpression(expression)
}

/**
 * The expression behind policy bytes; undefined for empty bytes, which nobody satisfies.
 * @throws KmsError `bad-encoding`
 */
export function decodePolicy(bytes: Uint8Array): PolicyExpression | undefined {
  if (bytes.length === 0) return undefined
  if (bytes.length > MAX_POLICY_BYTES)
    throw dkgError('bad-encoding', 'policy is too long', { data: { field: 'policy' } })
  const budget = { leaves: MAX_POLICY_LEAVES }
  return decodeAll(bytes, 'policy', (reader) => readExpression(reader, 1, budget))
}

/** Whether these principals together open what the expression guards. No expression: nobody does. */
export function satisfies(expression: PolicyExpression | undefined, principals: readonly Principal[]): boolean {
  if (expression === undefined) return false
  if (expression.kind === 'of')
    return expression.expressions.filter((inner) => satisfies(inner, principals)).length >= expression.m
  return principals.some((principal) => samePrincipal(expression, principal))
}

function samePrincipal(left: Principal, right: Principal): boolean {
  return left.kind === right.kind && equalBytes(principalBytes(left), principalBytes(right))
}

function principalBytes(principal: Principal): Uint8Array {
  switch (principal.kind) {
    case 'ed25519':
      return principal.key
    case 'ethereum':
      return principal.address
    case 'measurement':
      return principal.hash
  }
}

const PRINCIPALS = {
  ed25519: { code: 1, length: 32 },
  ethereum: { code: 2, length: 20 },
  measurement: { code: 3, length: 32 },
} as const

function encodeExpression(expression: PolicyExpression): Uint8Array {
  if (expression.kind !== 'of') return concatBytes(u8(PRINCIPALS[expression.kind].code), principalBytes(expression))
  return concatBytes(
    u8(OF),
    u8(expression.m),
    list(expression.expressions, (inner) => varBytes(encodeExpression(inner))),
  )
}

function readExpression(reader: Reader, depth: number, budget: { leaves: number }): PolicyExpression {
  if (depth > MAX_POLICY_DEPTH) throw dkgError('bad-encoding', 'a policy is nested too deeply')
  const code = reader.u8('policy.kind')
  if (code === OF) return readOf(reader, depth, budget)
  budget.leaves -= 1
  if (budget.leaves < 0) throw dkgError('bad-encoding', 'a policy names too many principals')
  if (code === PRINCIPALS.ed25519.code) return { kind: 'ed25519', key: reader.take(32, 'policy.key') }
  if (code === PRINCIPALS.ethereum.code) return { kind: 'ethereum', address: reader.take(20, 'policy.address') }
  if (code === PRINCIPALS.measurement.code) return { kind: 'measurement', hash: reader.take(32, 'policy.hash') }
  throw dkgError('bad-encoding', 'a policy holds an unknown kind of expression', { data: { code } })
}

function readOf(reader: Reader, depth: number, budget: { leaves: number }): PolicyExpression {
  const m = reader.u8('policy.m')
  const encoded = reader.list({ min: 1, max: MAX_POLICY_LEAVES }, 'policy.expressions', (item) =>
    item.var(MAX_POLICY_BYTES, 'policy.expression'),
  )
  if (m < 1 || m > encoded.length) throw dkgError('bad-encoding', 'policy.m lies outside its list')
  if (new Set(encoded.map(bytesKey)).size !== encoded.length)
    throw dkgError('bad-encoding', 'a policy lists the same expression twice')
  const expressions = encoded.map((bytes) =>
    decodeAll(bytes, 'policy.expression', (inner) => readExpression(inner, depth + 1, budget)),
  )
  return { kind: 'of', m, expressions }
}

function expressionFault(expression: PolicyExpression): string | undefined {
  if (countLeaves(expression) > MAX_POLICY_LEAVES) return `names at most ${MAX_POLICY_LEAVES} principals`
  return shapeFault(expression, 1)
}

function countLeaves(expression: PolicyExpression): number {
  return expression.kind === 'of' ? expression.expressions.reduce((sum, inner) => sum + countLeaves(inner), 0) : 1
}

function shapeFault(expression: PolicyExpression, depth: number): string | undefined {
  if (depth > MAX_POLICY_DEPTH) return `has at most ${MAX_POLICY_DEPTH} levels`
  if (expression.kind !== 'of')
    return principalBytes(expression).length === PRINCIPALS[expression.kind].length
      ? undefined
      : 'names keys and hashes of 32 bytes and addresses of 20'
  const { m, expressions } = expression
  if (!Number.isInteger(m) || m < 1 || m > expressions.length) return 'asks for at least one and at most all of a list'
  const faults = expressions.map((inner) => shapeFault(inner, depth + 1))
  const fault = faults.find((found) => found !== undefined)
  if (fault !== undefined) return fault
  const distinct = new Set(expressions.map((inner) => bytesKey(encodeExpression(inner)))).size
  return distinct === expressions.length ? undefined : 'lists no expression twice'
}
