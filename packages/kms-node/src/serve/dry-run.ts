import { setImmediate } from 'node:timers/promises'
import { type Authorization, bytesKey, type RefusalCode, type RequestItem, verifyHeaderProof } from '@tkms/dkg'
import type { Decision } from '../policy/decision.ts'
import type { Policy } from '../policy/policy.ts'
import type { Explained } from '../policy/rule-tree.ts'
import type { Clock } from '../ports.ts'
import { type AdmissionPorts, admitRequest } from './admission.ts'
import { createRsaPolicy } from './rsa-policy.ts'
import { createRuleInputs, type RuleCall } from './rule-inputs.ts'
import { ADDRESS_SHARE, createWorkQueue, type WorkQueue } from './work-queue.ts'

/** Few at a time: an explanation asks every rule, and serves nobody's decryption. */
const MAX_RUNNING = 2
const MAX_WAITING = 16
const MAX_RSA_KEYS = 256

/** What a rule, or rules put together, said; ready for JSON: fixed words only. */
export type RuleReport =
  | { readonly rule: string; readonly says: 'yes' }
  | { readonly rule: string; readonly says: 'no'; readonly reason: string; readonly undecided?: true }
  | { readonly any: readonly RuleReport[]; readonly says: 'yes' | 'no' }
  | { readonly all: readonly RuleReport[]; readonly says: 'yes' | 'no' }

export interface ItemReport {
  readonly allowed: boolean
  /** What this item would be refused with. */
  readonly code?: RefusalCode
  /** Of a v2 item. */
  readonly headerProof?: 'valid' | 'invalid'
  /** Absent when the policy has no rules for the key, and when the header proof does not hold: then none was asked. */
  readonly rules?: RuleReport
}

/** What this node would do with a request, ready for JSON. */
export interface RequestReport {
  readonly keyName: string
  /** publicKeyId of who the rules saw, "none" for an unsigned request. */
  readonly requester: string
  /** Every item would be answered. */
  readonly allowed: boolean
  /** "accepted", or what is wrong with it. */
  readonly rsaKey: string
  readonly items: readonly ItemReport[]
}

export type DryRunResult =
  | { readonly kind: 'report'; readonly report: RequestReport }
  | { readonly kind: 'refusal'; readonly code: RefusalCode; readonly skewSeconds?: number }

/** One explanation's end, for the log: public values and fixed words only. It is never in the audit log, for nothing was released. */
export interface DryRunEvent {
  /** Where it came from, or where the operator says that it would. */
  readonly remote: string
  readonly asked: 'by-caller' | 'by-operator'
  readonly outcome: 'allowed' | 'not-allowed' | RefusalCode
  readonly durationMs: number
  readonly requestId?: string
  readonly keyId?: string
  readonly requester?: string
  readonly items?: number
  /** Items that would be answered. */
  readonly allowed?: number
}

/** Says what would be answered and why, and answers nothing. */
export interface DryRun {
  /** Asks every rule about every item whose header proof holds. No share is borrowed, nothing counted and nothing remembered, a requestId that was used is not noticed. */
  explain(authorization: Authorization, call: RuleCall): Promise<DryRunResult>
  /** The same for the operator, who waits for nobody who asks over the network. */
  explainToOperator(authorization: Authorization, call: RuleCall): Promise<DryRunResult>
}

export function createDryRun(
  ports: AdmissionPorts & {
    readonly policy: Pick<Policy, 'explain'>
    readonly clock: Clock
    readonly onExplained: (event: DryRunEvent) => void
  },
): DryRun {
  const limits = { maxRunning: MAX_RUNNING, maxWaiting: MAX_WAITING }
  const queue = createWorkQueue({ ...limits, callerShare: ADDRESS_SHARE })
  const operatorQueue = createWorkQueue(limits)
  const rsaPolicy = createRsaPolicy({ maxEntries: MAX_RSA_KEYS })

  const run = async (
    authorization: Authorization,
    call: RuleCall,
    tell: (details: Partial<DryRunEvent>) => void,
  ): Promise<DryRunResult> => {
    const nowSeconds = Math.floor(ports.clock.nowMs() / 1000)
    const admitted = await admitRequest(ports, authorization, { nowSeconds, signal: call.signal })
    if (admitted.kind === 'refusal') {
      const { code, skewSeconds } = admitted
      return { kind: 'refusal', code, ...(skewSeconds === undefined ? {} : { skewSeconds }) }
    }
    const { request, requester } = admitted
    tell({
      requestId: bytesKey(request.requestId),
      keyId: bytesKey(request.keyId),
      requester: requester.requesterId,
      items: request.items.length,
    })
    const found = ports.lender.find(request.keyId, request.sharingId)
    if (found.kind !== 'found') return { kind: 'refusal', code: found.kind }
    const { keyName } = found.served.key
    const rsa = rsaPolicy.check(request.spki)
    const inputOf = createRuleInputs(ports.curve, admitted, { call, nowSeconds, dryRun: true })

    const explainItem = async (item: RequestItem): Promise<ItemReport> => {
      if (item.version === 2 && !verifyHeaderProof(ports.curve, item))
        return { allowed: false, code: 'bad-header-proof', headerProof: 'invalid' }
      const { decision, told } = await ports.policy.explain(keyName, inputOf(item))
      const code = codeOf(decision, rsa.kind === 'refused')
      return {
        allowed: code === undefined,
        ...(code !== undefined && { code }),
        ...(item.version === 2 && { headerProof: 'valid' as const }),
        ...(told !== undefined && { rules: reportOf(told) }),
      }
    }

    const items: ItemReport[] = []
    for (const item of request.items) {
      if (call.signal.aborted) return { kind: 'refusal', code: 'cancelled' }
      items.push(await explainItem(item))
      await setImmediate()
    }
    const allowed = items.every((item) => item.allowed)
    const rsaKey = rsa.kind === 'refused' ? rsa.weakness : 'accepted'
    return { kind: 'report', report: { keyName, requester: requester.requesterId, allowed, rsaKey, items } }
  }

  const explainIn =
    (places: WorkQueue, asked: DryRunEvent['asked']): DryRun['explain'] =>
    async (authorization, call) => {
      const startMs = ports.clock.monotonicMs()
      let details: Partial<DryRunEvent> = {}
      const tell = (known: Partial<DryRunEvent>): void => {
        details = known
      }
      const entered = await places.enter(call.signal, () => run(authorization, call, tell), call.address)
      const result: DryRunResult = typeof entered === 'string' ? { kind: 'refusal', code: entered } : entered
      const durationMs = ports.clock.monotonicMs() - startMs
      ports.onExplained({ remote: call.address, asked, durationMs, ...details, ...outcomeOf(result) })
      return result
    }
  return { explain: explainIn(queue, 'by-caller'), explainToOperator: explainIn(operatorQueue, 'by-operator') }
}

function outcomeOf(result: DryRunResult): Pick<DryRunEvent, 'outcome' | 'allowed'> {
  if (result.kind === 'refusal') return { outcome: result.code }
  const { allowed, items } = result.report
  return { outcome: allowed ? 'allowed' : 'not-allowed', allowed: items.filter((item) => item.allowed).length }
}

/** The code with which the pipeline refuses an item whose header proof holds, in the order of its checks. */
function codeOf(decision: Decision, weakKey: boolean): RefusalCode | undefined {
  if (!decision.allowed) return decision.undecided === true ? 'policy-unavailable' : 'not-allowed'
  return weakKey ? 'weak-rsa-key' : undefined
}

function reportOf(told: Explained): RuleReport {
  if (told.kind === 'rule') {
    const { rule, verdict } = told
    return verdict.kind === 'yes'
      ? { rule, says: 'yes' }
      : { rule, says: 'no', reason: verdict.reason, ...(verdict.undecided && { undecided: true as const }) }
  }
  const says = told.allowed ? 'yes' : 'no'
  const inner = told.of.map(reportOf)
  return told.kind === 'any' ? { any: inner, says } : { all: inner, says }
}
