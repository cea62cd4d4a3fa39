import { sha256 } from '@noble/hashes/sha2.js'
import {
  attempt,
  attestedRequesterNonce,
  bytesKey,
  decodeAttestationEvidence,
  type Evidence,
  EVIDENCE_ATTESTATION,
  reportData,
} from '@tkms/dkg'
import { outcomeUntil } from '../attest/outcome.ts'
import type { AttestationVerdict } from '../attest/verdict.ts'
import type { AttestationVerifier } from '../attest/verify-quote.ts'
import type { AllowedMeasurement } from '../attest/measurements.ts'
import { ALLOWED_SHAPE, FIRMWARE_ALONE, namesFirmwareAlone, parseAllowed } from '../config/attestation.ts'
import { type DecisionInput, no, type PolicyRule, type RuleVerdict, YES } from './decision.ts'
import type { Profile, Report, RuleType } from './rule-type.ts'

const ATTESTED = 'attested'
const DEFAULT_MAX_AGE_SECONDS = 3600
const MAX_MAX_AGE_SECONDS = 86_400
const MAX_ALLOWED = 64
/** Clocks of requesters and nodes may differ by this much, either way (interfaces 2). */
const LEEWAY_SECONDS = 60
/** Verdicts that are remembered: a machine asks many times with one quote. */
const MAX_REMEMBERED = 1024
/** A verdict is asked for anew after this time: collateral changes. */
const REMEMBERED_MS = 600_000
/** Quotes that are verified at once, the same one for all who wait for it. */
const MAX_UNDER_WAY = 16
/** A quote may wait for collateral, whoever has given up on it. */
const VERIFY_TIMEOUT_MS = 20_000

export interface AttestedRuleOptions {
  /** With the allow list of this rule. */
  readonly verifier: AttestationVerifier
  readonly maxAgeSeconds: number
}

/**
 * Yes when the request carries a quote of an allowed machine that was made for this cluster, this RSA key and this requester, and lately:
 * its report data binds all four (docs/interfaces.md). So the answers can be opened by no other machine.
 */
export function createAttestedRule({ verifier, maxAgeSeconds }: AttestedRuleOptions): PolicyRule {
  /** A quote among the evidence is for every item of its request, and verified once. */
  const judged = new WeakMap<Evidence, Promise<RuleVerdict>>()
  const remembered = createMemory()

  const underWay = new Map<string, Promise<AttestationVerdict>>()

  /** @returns undefined where too many are under way */
  const verifyOnce = (name: string, quote: Uint8Array, data: Uint8Array): Promise<AttestationVerdict> | undefined => {
    const known = underWay.get(name)
    if (known !== undefined || underWay.size >= MAX_UNDER_WAY) return known
    const signal = AbortSignal.timeout(VERIFY_TIMEOUT_MS)
    const verdict = verifier.verify(quote, { reportData: data, signal }).finally(() => underWay.delete(name))
    underWay.set(name, verdict)
    return verdict
  }

  const judge = async (evidence: Evidence, input: DecisionInput): Promise<RuleVerdict> => {
    const given = attempt(() => decodeAttestationEvidence(evidence.bytes))
    if (given === undefined) return no('quote-malformed')
    const { quotedAt, quote } = given
    const { request, requesterId, recipientSpkiHash, nowSeconds, signal } = input
    if (requesterId === 'none') return no('request-not-signed')
    if (quotedAt > nowSeconds + LEEWAY_SECONDS) return no('quote-not-yet-valid')
    if (quotedAt < nowSeconds - maxAgeSeconds - LEEWAY_SECONDS) return no('quote-too-old')
    const data = reportData({
      role: 'requester',
      clusterId: request.clusterId,
      rsaSpkiSha256: recipientSpkiHash,
      nonce: attestedRequesterNonce(requesterId, quotedAt),
    })
    const name = bytesKey(sha256.create().update(data).update(quote).digest())
    if (remembered.has(name, nowSeconds)) return YES
    const verdict = await outcomeUntil(verifyOnce(name, quote, data), signal)
    if (verdict === undefined) return { kind: 'no', reason: 'quote-busy', undecided: true }
    if (verdict.kind === 'accepted') remembered.keep(name, nowSeconds, verdict)
    return verdictOf(verdict)
  }

  return {
    name: ATTESTED,
    async decide(input) {
      const [evidence, ...more] = input.evidence.filter(({ kind }) => kind === EVIDENCE_ATTESTATION)
      if (evidence === undefined) return no('no-quote')
      // Each costs several signatures: a request has room for sixteen, and an honest one needs one.
      if (more.length > 0) return no('more-than-one-quote')
      const verdict = judged.get(evidence) ?? judge(evidence, input)
      judged.set(evidence, verdict)
      return verdict
    },
  }
}

/** That collateral is not to be had now says nothing about the quote. */
function verdictOf(verdict: AttestationVerdict): RuleVerdict {
  if (verdict.kind === 'accepted') return YES
  const reason = `quote-${verdict.reason}`
  return verdict.reason === 'collateral' ? { kind: 'no', reason, undecided: true } : no(reason)
}

/** Quotes that were accepted, until they are worth another look; the oldest goes first. */
function createMemory(): {
  has(name: string, nowSeconds: number): boolean
  keep(name: string, nowSeconds: number, verdict: Extract<AttestationVerdict, { kind: 'accepted' }>): void
} {
  const untilMs = new Map<string, number>()
  return {
    has: (name, nowSeconds) => (untilMs.get(name) ?? 0) > 1000 * nowSeconds,
    keep: (name, nowSeconds, { expiresMs }) => {
      untilMs.delete(name)
      untilMs.set(name, Math.min(1000 * nowSeconds + REMEMBERED_MS, expiresMs))
      const [oldest] = untilMs.keys()
      if (untilMs.size > MAX_REMEMBERED && oldest !== undefined) untilMs.delete(oldest)
    },
  }
}

/** `rule: attested` with `allow:`, 1 to 64 measurements as in node.yaml, and `maxAgeSeconds:`, 1 to 86400; an hour unless given. */
export const attestedRuleType: RuleType = {
  name: ATTESTED,
  parse({ allow, maxAgeSeconds = DEFAULT_MAX_AGE_SECONDS, ...others }, problem, profile) {
    const unknown = Object.keys(others)
    for (const name of unknown) problem(name, 'is no option of attested')
    const allowed = readAllowed(allow, problem, profile)
    if (!isMaxAge(maxAgeSeconds))
      return problem('maxAgeSeconds', `must be a whole number of seconds from 1 to ${MAX_MAX_AGE_SECONDS}`)
    if (allowed === undefined || unknown.length > 0) return undefined
    return ({ quotes }) => createAttestedRule({ verifier: quotes(allowed), maxAgeSeconds })
  },
}

const isMaxAge = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 1 && value <= MAX_MAX_AGE_SECONDS

function readAllowed(allow: unknown, problem: Report, profile: Profile): readonly AllowedMeasurement[] | undefined {
  if (!Array.isArray(allow) || allow.length < 1 || allow.length > MAX_ALLOWED)
    return problem('allow', `must be a list of 1 to ${MAX_ALLOWED} measurements`)
  const entries = allow.flatMap((value: unknown, at) => {
    const entry = parseAllowed(value)
    if (entry === undefined) problem(`allow.${at}`, ALLOWED_SHAPE)
    if (entry !== undefined && profile !== 'development' && namesFirmwareAlone(entry))
      return problem(`allow.${at}, ${entry.name}`, FIRMWARE_ALONE) ?? []
    return entry ?? []
  })
  if (new Set(entries.map(({ name }) => name)).size < entries.length) return problem('allow', 'names an entry twice')
  return entries.length === allow.length ? entries : undefined
}
