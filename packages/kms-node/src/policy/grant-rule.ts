import {
  attempt,
  decodeNodePublicKey,
  type Grant,
  grantMismatch,
  grantStatement,
  type GrantSubject,
  parsePublicKeyId,
} from '@tkms/dkg'
import { isKmsError } from '../errors.ts'
import { type DecisionInput, no, type PolicyRule, type RuleVerdict } from './decision.ts'
import { createForgeryLimit } from './forgery-limit.ts'
import type { RuleType } from './rule-type.ts'
import type { SignatureVerifier } from './signature-verifier.ts'

export const GRANT = 'grant'
const MAX_ISSUERS = 256
/** Clocks of issuers and nodes may differ by this much, either way (interfaces 2). */
const LEEWAY_SECONDS = 60

/**
 * Yes when a listed issuer signed that this requester, with this RSA key, may have exactly this K and handle of this key opened now
 * (interfaces 3); with that the handle is bound to K. The reason is that of the grant that came closest.
 */
export function createGrantRule(options: {
  /** Ids "ed25519:<64 hex>" or "eip712:0x<40 hex>". */
  readonly issuers: readonly string[]
  readonly signatures: SignatureVerifier
}): PolicyRule {
  const issuers = new Set(options.issuers)
  const forgeries = createForgeryLimit()
  /** A grant among the evidence is for every item of its request, and verified once. */
  const signed = new WeakMap<Grant, Promise<boolean>>()
  const isSigned = (grant: Grant, signal: AbortSignal): Promise<boolean> => {
    const known = signed.get(grant)
    if (known !== undefined) return known
    const verdict = options.signatures.verify(grant.issuer, grantStatement(grant, grant.body), grant.signature, signal)
    signed.set(grant, verdict)
    return verdict
  }
  const judge = async (
    grant: Grant,
    subject: GrantSubject,
    { request, nowSeconds, signal }: DecisionInput,
  ): Promise<RuleVerdict> => {
    const mismatch = grantMismatch(grant, subject)
    if (mismatch !== undefined) return no(`grant-for-another-${MISMATCH_WORDS[mismatch]}`)
    if (!issuers.has(grant.issuer)) return no('issuer-not-listed')
    if (nowSeconds < grant.notBefore - LEEWAY_SECONDS) return no('grant-not-yet-valid')
    if (nowSeconds > grant.expiresAt + LEEWAY_SECONDS) return no('grant-expired')
    if (!signed.has(grant) && forgeries.reached(request)) return no('too-many-forged-grants')
    try {
      const { issuer, grantId } = grant
      if (await isSigned(grant, signal))
        return { kind: 'yes', bindsPoint: true, bindsHandle: true, by: { issuer, grantId } }
      forgeries.found(request)
      return no('grant-signature')
    } catch (error) {
      if (!isKmsError(error) || error.code !== 'chain-unavailable') throw error
      return { kind: 'no', reason: 'chain-unavailable', undecided: true }
    }
  }
  return {
    name: GRANT,
    async decide(input) {
      const subject = subjectOf(input)
      const refusals: RuleVerdict[] = []
      for (const grant of input.grants) {
        const verdict = await judge(grant, subject, input)
        if (verdict.kind === 'yes') return verdict
        refusals.push(verdict)
      }
      return refusals.toSorted(byCloseness)[0] ?? no('no-grant')
    },
  }
}

const MISMATCH_WORDS: Readonly<Record<keyof GrantSubject, string>> = {
  clusterId: 'cluster',
  keyId: 'key',
  chainId: 'chain',
  handle: 'handle',
  K: 'point',
  recipientSpkiHash: 'recipient',
  requester: 'requester',
}

const byCloseness = (left: RuleVerdict, right: RuleVerdict): number => distance(left) - distance(right)
const distance = (verdict: RuleVerdict): number =>
  verdict.kind === 'yes' || verdict.undecided === true ? 0 : verdict.reason.startsWith('grant-for-another-') ? 2 : 1

function subjectOf({ request, item, recipientSpkiHash, requesterId: requester }: DecisionInput): GrantSubject {
  const { chainId, handle } = item.version === 1 ? item : item.header.label
  const K = item.version === 1 ? item.K : item.header.K
  const { clusterId, keyId } = request
  return { clusterId, keyId, chainId, handle, K, recipientSpkiHash, requester }
}

/** `rule: grant` with `issuers:`, 1 to 256 ids of Ed25519 keys or wallets. */
export const grantRuleType: RuleType = {
  name: GRANT,
  parse({ issuers, ...others }, problem) {
    for (const name of Object.keys(others)) problem(name, 'is no option of grant')
    if (!Array.isArray(issuers) || issuers.length < 1 || issuers.length > MAX_ISSUERS) {
      problem('issuers', `must be a list of 1 to ${MAX_ISSUERS} issuers`)
      return undefined
    }
    const ids = issuers.filter((id: unknown): id is string => typeof id === 'string' && isIssuer(id))
    issuers.forEach((id: unknown, at) => {
      if (typeof id !== 'string' || !isIssuer(id))
        problem(`issuers.${at}`, 'must be "ed25519:<64 hex>", a key of prime order, or "eip712:0x<40 hex>", a wallet')
    })
    if (ids.length !== issuers.length || Object.keys(others).length > 0) return undefined
    return ({ signatures }) => createGrantRule({ issuers: ids, signatures })
  },
}

function isIssuer(id: string): boolean {
  const signer = attempt(() => parsePublicKeyId(id))
  if (signer?.kind === 'eip712') return true
  return signer?.kind === 'ed25519' && attempt(() => decodeNodePublicKey(signer.key)) !== undefined
}
