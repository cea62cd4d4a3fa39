import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import {
  attestedRequesterNonce,
  encodeAttestationEvidence,
  type Evidence,
  EVIDENCE_ATTESTATION,
  type ReportSubject,
  reportData,
} from '@tkms/dkg'
import { attestError } from '../../packages/kms-node/src/attest/errors.ts'
import {
  type CollateralWishes,
  MINTED_MR_TD,
  MINTED_RTMRS,
  type MintedChain,
  mintChain,
} from '../../packages/kms-node/src/attest/minted-chain.fixture.ts'
import type { QuoteVerifiers } from '../../packages/kms-node/src/attest/open-verifier.ts'
import { createQuoteVerifier } from '../../packages/kms-node/src/attest/verify-quote.ts'
import { bytes32, clusterId, NOW_SECONDS, requestOf, spki } from '../../packages/kms-node/src/serve/pipeline.fixture.ts'
import { key, labelled, type Line, type RuleCase, signedAsk, strangeKey } from './rules.ts'

const NOW_MS = 1000 * NOW_SECONDS
const DAY_MS = 86_400_000
const good = mintChain(NOW_MS)
const { rootCertificate: root } = good
const [firmware, , kernel, disk] = [MINTED_MR_TD, ...MINTED_RTMRS].map((bytes) => bytesToHex(bytes))
const mrEnclave = 'e1'.repeat(32)

/** Machines of one manufacturer, and what it says of each kind. */
const KINDS = {
  good: {},
  expired: { issuedMs: NOW_MS - 31 * DAY_MS },
  early: { issuedMs: NOW_MS + DAY_MS },
  revoked: { revokePck: true },
  old: { tcbStatus: 'OutOfDate' },
  oldModule: { moduleStatus: 'OutOfDate' },
} satisfies Record<string, CollateralWishes>
type Kind = keyof typeof KINDS
const machines = new Map<Kind, MintedChain>([['good', good]])
for (const kind of Object.keys(KINDS) as Kind[])
  if (kind !== 'good') machines.set(kind, mintChain(NOW_MS, { fmspc: `00a06f00000${machines.size}`, root }))
const said = new Map([...machines].map(([kind, { fmspc, collateral }]) => [fmspc, collateral(KINDS[kind])]))
const sgx = good.collateral({ tee: 'sgx' })
/** Nothing is known of it. */
const unknown = mintChain(NOW_MS, { fmspc: '00a06f0000ff', root })
const otherRoot = mintChain(NOW_MS)

export const quotes: QuoteVerifiers = (allow) =>
  createQuoteVerifier({
    root: good.root,
    allow,
    clock: { nowMs: () => NOW_MS },
    collateral: {
      get: async ({ fmspc, tee }) => {
        const known = tee === 'sgx' && fmspc === good.fmspc ? sgx : said.get(fmspc)
        if (known === undefined) throw attestError('collateral-unavailable', 'nothing is known of it')
        return known
      },
    },
  })

interface QuoteWishes {
  readonly machine?: MintedChain | undefined
  readonly tee?: 'sgx'
  readonly td?: Parameters<MintedChain['tdxQuote']>[1]
  readonly enclave?: Parameters<MintedChain['sgxQuote']>[1]
  /** What the report data says; the evidence beside it says `claimedAt`. */
  readonly quotedAt?: number
  readonly claimedAt?: number
  readonly requester?: string
  readonly subject?: Partial<Record<'clusterId' | 'rsaSpkiSha256' | 'channel', Uint8Array>>
  readonly report?: (nonce: Uint8Array) => ReportSubject
  readonly quote?: (bytes: Uint8Array) => Uint8Array
  readonly bytes?: (bytes: Uint8Array) => Uint8Array
  readonly count?: number
}

function evidenceOf(wishes: QuoteWishes): readonly Evidence[] {
  const { machine = good, quotedAt = NOW_SECONDS, requester = key.id, count = 1 } = wishes
  const { quote: change = (same) => same, bytes: alter = (same) => same } = wishes
  const nonce = attestedRequesterNonce(requester, quotedAt)
  const subject = wishes.report?.(nonce) ?? {
    role: 'requester',
    clusterId,
    rsaSpkiSha256: sha256(spki),
    nonce,
    ...wishes.subject,
  }
  const data = reportData(subject)
  const quote = change(
    wishes.tee === 'sgx' ? machine.sgxQuote(data, wishes.enclave) : machine.tdxQuote(data, wishes.td),
  )
  const bytes = alter(encodeAttestationEvidence({ quotedAt: wishes.claimedAt ?? quotedAt, quote }))
  return Array.from({ length: count }, () => ({ kind: EVIDENCE_ATTESTATION, bytes }))
}

export const attested: RuleCase = {
  name: 'attested',
  tree: {
    rule: 'attested',
    allow: [
      { name: 'runner-1', mrTd: firmware, rtmr1: kernel, rtmr2: disk },
      { name: 'enclave-1', mrEnclave },
    ],
  },
  ask(change) {
    const evidence = change.without ? [] : evidenceOf((change.credential ?? {}) as QuoteWishes)
    return signedAsk(key, requestOf({ evidence, items: [labelled({ kind: 'ed25519', key: bytes32(1) })] }), change)
  },
}

const flipped =
  (at: number) =>
  (bytes: Uint8Array): Uint8Array =>
    bytes.with(at, 1 ^ (bytes[at] ?? 0))
const by = (credential: QuoteWishes): { readonly credential: Readonly<Record<string, unknown>> } => ({
  credential: { ...credential },
})
const on = (kind: Kind): ReturnType<typeof by> => by({ machine: machines.get(kind) })
const REPORT_DATA_AT = 48 + 520
const TD_ATTRIBUTES_AT = 48 + 120
const TD_MEASUREMENT_AT = 48 + 136

/** What is wrong with the quote, the machine or its papers. */
export const attestedLines: readonly Line[] = [
  ['of an enclave on the list', by({ tee: 'sgx' }), 'answer'],
  ['without a quote', { without: true }, 'not-allowed'],
  ['with the quote twice', by({ count: 2 }), 'not-allowed'],
  ['with half a quote', by({ quote: (bytes) => bytes.subarray(0, bytes.length / 2) }), 'not-allowed'],
  ['with evidence that is cut', by({ bytes: (bytes) => bytes.subarray(0, 8) }), 'not-allowed'],
  ['with evidence of a later version', by({ bytes: flipped(0) }), 'not-allowed'],
  ['with a quote that is too old', by({ quotedAt: NOW_SECONDS - 3661 }), 'not-allowed'],
  ['with a quote as old as may be', by({ quotedAt: NOW_SECONDS - 3660 }), 'answer'],
  ['with a quote from the future', by({ quotedAt: NOW_SECONDS + 61 }), 'not-allowed'],
  ['with a quote from within the leeway', by({ quotedAt: NOW_SECONDS + 60 }), 'answer'],
  [
    'with an old quote that claims to be new',
    by({ quotedAt: NOW_SECONDS - 7200, claimedAt: NOW_SECONDS }),
    'not-allowed',
  ],
  ['with a quote for another cluster', by({ subject: { clusterId: bytes32(77) } }), 'not-allowed'],
  ['with a quote for another RSA key', by({ subject: { rsaSpkiSha256: bytes32(77) } }), 'not-allowed'],
  ['with a quote for another requester', by({ requester: strangeKey.id }), 'not-allowed'],
  ['with a quote for a connection', by({ subject: { channel: bytes32(77) } }), 'not-allowed'],
  [
    'with the quote of a node',
    by({ report: (nonce) => ({ role: 'node', clusterId, identity: sha256(spki), certificates: bytes32(0), nonce }) }),
    'not-allowed',
  ],
  ['asked by another', { request: { publicKeyId: strangeKey.id }, signer: strangeKey }, 'not-allowed'],
  [
    'asked by another with a quote of its own',
    { ...by({ requester: strangeKey.id }), request: { publicKeyId: strangeKey.id }, signer: strangeKey },
    'answer',
  ],
  ['by a machine of another root', by({ machine: otherRoot }), 'not-allowed'],
  ['by other firmware', by({ td: { mrTd: bytes48(0xee) } }), 'not-allowed'],
  ['by another kernel on the firmware', by({ td: { rtmrs: registers(1) } }), 'not-allowed'],
  ['by another disk on the kernel', by({ td: { rtmrs: registers(2) } }), 'not-allowed'],
  ['by another enclave', by({ tee: 'sgx', enclave: { mrEnclave: new Uint8Array(32) } }), 'not-allowed'],
  ['by a machine in debug mode', by({ td: { tdAttributes: Uint8Array.of(1, 0, 0, 0x10, 0, 0, 0, 0) } }), 'not-allowed'],
  ['by a machine whose papers ran out', on('expired'), 'not-allowed'],
  ['by a machine whose papers are not yet valid', on('early'), 'not-allowed'],
  ['by a machine that was revoked', on('revoked'), 'not-allowed'],
  ['by a machine with an old TCB', on('old'), 'not-allowed'],
  ['by a machine with an old TDX module', on('oldModule'), 'not-allowed'],
  ['by a machine of which nothing is known', by({ machine: unknown }), 'policy-unavailable'],
  [
    'by a machine in debug mode that denies it',
    by({
      td: { tdAttributes: Uint8Array.of(1, 0, 0, 0x10, 0, 0, 0, 0) },
      quote: flipped(TD_ATTRIBUTES_AT),
    }),
    'not-allowed',
  ],
  [
    'by other firmware that denies it',
    by({ td: { mrTd: MINTED_MR_TD.with(0, 0xa0) }, quote: flipped(TD_MEASUREMENT_AT) }),
    'not-allowed',
  ],
  [
    'with a quote for another cluster, put right on the way',
    by({
      subject: { clusterId: bytes32(77) },
      quote: (bytes) => {
        const right = evidenceData()
        const changed = bytes.slice()
        changed.set(right, REPORT_DATA_AT)
        return changed
      },
    }),
    'not-allowed',
  ],
]

function bytes48(value: number): Uint8Array {
  return new Uint8Array(48).fill(value)
}
function registers(other: number): readonly Uint8Array[] {
  return MINTED_RTMRS.map((register, at) => (at === other ? bytes48(0xee) : register))
}
/** What a good quote is over. */
function evidenceData(): Uint8Array {
  const nonce = attestedRequesterNonce(key.id, NOW_SECONDS)
  return reportData({ role: 'requester', clusterId, rsaSpkiSha256: sha256(spki), nonce })
}
