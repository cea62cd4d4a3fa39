import type { DelegationRequest, Evidence, Grant, Principal, RequestItem } from '@tkms/dkg'

/** What a rule decides about: one item of a request whose signature was verified. Everything is parsed. */
export interface DecisionInput {
  /** clusterId and keyId in it are this node's own: the pipeline checked them. */
  readonly request: DelegationRequest
  /** A v2 item's label counts because its header proof was verified. */
  readonly item: RequestItem
  /** The requester whose signature was verified, through a session who signed that; undefined when the request is not signed. */
  readonly principal: Principal | undefined
  /** The publicKeyId of `principal`, "none" without one: never a session. */
  readonly requesterId: string
  /** SHA-256 of the request's SPKI, 32 bytes. */
  readonly recipientSpkiHash: Uint8Array
  /** Decoded, not verified: the one of a v1 item, or those among the request's evidence for a v2 item. */
  readonly grants: readonly Grant[]
  /** What the request carries for rules, without its session. */
  readonly evidence: readonly Evidence[]
  /** Where the request came from: an IPv4 address, or the 64-bit network of an IPv6 one. */
  readonly remote: string
  /** SHA-256 of the bearer token, 32 bytes; undefined when none came along. */
  readonly tokenHash: Uint8Array | undefined
  /** Unix seconds. */
  readonly nowSeconds: number
  /** Nothing will be released: nothing is counted either. */
  readonly dryRun: boolean
  /** Takes what undoes a count of this item; called when the item is not released after all. */
  readonly unlessReleased: (undo: () => void) => void
  /** Fires when nobody waits for the decision any more. */
  readonly signal: AbortSignal
}

/** What a rule knows beside the request. */
export interface RuleContext {
  /**
   * Whether something that was verified ties the item's chain id and handle to its K: the label of a v2 item, or a rule before this one
   * in the same "all of". In a v1 item they are otherwise only what the requester says.
   */
  readonly handleBound: boolean
}

/** Whose signed word a rule took for its yes: it goes into the audit log, so that what a stolen key opened can be told afterwards. */
export interface GrantName {
  /** publicKeyId. */
  readonly issuer: string
  /** 32 bytes: the grant's id, or SHA-256 of an authorization that has none. */
  readonly grantId: Uint8Array
}

/** What one rule says. `reason` is a fixed word in kebab-case, for the log and for `explain`. */
export type RuleVerdict =
  /**
   * `bindsPoint`: somebody whom the rule believes named this very K; without that no v1 item is opened. `bindsHandle`: and said that
   * this handle is the one of this K.
   */
  | { readonly kind: 'yes'; readonly bindsPoint?: true; readonly bindsHandle?: true; readonly by?: GrantName }
  /** `undecided`: the rule could not find out, and refuses; asking again later may help. */
  | { readonly kind: 'no'; readonly reason: string; readonly undecided?: true }

export const YES: RuleVerdict = { kind: 'yes' }
export const no = (reason: string): RuleVerdict => ({ kind: 'no', reason })

/** A configured rule. */
export interface PolicyRule {
  readonly name: string
  /**
   * Whether its yes says who may open what. A coarse rule (a bearer token, a quota) only narrows: the production profile refuses a
   * policy in which such rules alone can say yes.
   */
  readonly coarse?: true
  decide(input: DecisionInput, context: RuleContext): RuleVerdict | Promise<RuleVerdict>
}

export interface RuleRefusal {
  readonly rule: string
  readonly reason: string
}

export type Decision =
  /** `rules`: those whose yes made it so; `grants`: what they took it from, absent when nothing was signed for it. */
  | { readonly allowed: true; readonly rules: readonly string[]; readonly grants?: readonly GrantName[] }
  /** `refusals`: every rule that stood in the way. `undecided`: those that could not find out might have said yes. */
  | { readonly allowed: false; readonly refusals: readonly RuleRefusal[]; readonly undecided?: true }
