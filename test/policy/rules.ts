import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import {
  anyOf,
  type DelegationRequest,
  encodeGrant,
  encodeGrantBody,
  encodeNoxAuthorization,
  encodePolicy,
  encodeRequest,
  encodeSession,
  encodeSessionBody,
  EVIDENCE_GRANT,
  EVIDENCE_SESSION,
  type GrantBody,
  grantStatement,
  itemPoint,
  type NoxAuthorization,
  noxDataAccessTypedData,
  noxDelegateTypedData,
  type Principal,
  type RequestItem,
  requestItemV2,
  type RequestItemV2,
  requestStatement,
  sealEnvelopeV2,
  Secret,
  type SessionBody,
  sessionHash,
  sessionStatement,
} from '@tkms/dkg'
import type { ChainReader } from '../../packages/kms-node/src/chain/chain-reader.ts'
import { word } from '../../packages/kms-node/src/chain/fake-chain.fixture.ts'
import {
  alice,
  bytes32,
  clusterId,
  createSigner,
  curve,
  groupKey,
  keyId,
  NOW_SECONDS,
  requestOf,
  rng,
  spki,
} from '../../packages/kms-node/src/serve/pipeline.fixture.ts'
import { byKey, createWallet, type StatementSigner } from '../../packages/kms-node/src/serve/requester.fixture.ts'
import type { Ask, Outcome } from './three-nodes.ts'

/** One thing that is not as it should be. Without any, the request is a good one. */
export interface Change {
  /** Fields of REQ, covered by the signature like the rest. */
  readonly request?: Partial<DelegationRequest>
  /** The canonical bytes before they are signed. */
  readonly payload?: (bytes: Uint8Array) => Uint8Array
  /** What happens to the authorization on its way. */
  readonly transit?: (ask: Ask) => Ask
  /** Signs in the requester's place. */
  readonly signer?: StatementSigner
  readonly item?: (item: RequestItem) => RequestItem
  /** Fields of what the rule wants to see: a grant, a session, an authorization of Nox, a token. Absent where `without` is set. */
  readonly credential?: Readonly<Record<string, unknown>>
  readonly without?: true
  /** Signs the credential in place of who should. */
  readonly forger?: StatementSigner
}

/** One line of the table. */
export type Line = readonly [what: string, change: Change, expected: Outcome, only?: 'http']

/** One rule as policies use it, and how a good request looks to it. */
export interface RuleCase {
  readonly name: string
  readonly tree: object
  /** The version of the envelopes that the key is for, v2 unless told otherwise. */
  readonly envelopes?: 'v1'
  readonly ask: (change: Change) => Promise<Ask>
}

export const CHAIN = 421_614
const HANDLE = bytes32(9)
const TOKEN = 'table-token-0123456789'
export const key = byKey(alice)
export const strangeKey = byKey(createSigner())
const wallet = createWallet()
const keyIssuer = byKey(createSigner())
const walletIssuer = createWallet()
const gateway = createWallet()
const user = createWallet()
const combiner = byKey(createSigner())
const contract = `0x${'c0'.repeat(20)}` as const
const hexOf = (bytes: Uint8Array): string => `0x${bytesToHex(bytes)}`

/** Answers isViewer(handle, account) with true for the wallet and the handle of the table, at every endpoint. */
export const chains: ChainReader = {
  has: (chainId) => chainId === CHAIN,
  call: async ({ data }) => {
    const asked = bytesToHex(data.subarray(4))
    return word(asked === bytesToHex(HANDLE) + bytesToHex(word(wallet.address)) ? 1 : 0)
  },
}

export function labelled(owner: Principal, chainId = 0): RequestItemV2 {
  const sealed = sealEnvelopeV2(curve, {
    key: { keyId, groupKey },
    plaintext: bytes32(5),
    chainId,
    handle: HANDLE,
    policy: encodePolicy(anyOf([owner])),
    k: new Secret(rng.bytes(32).fill(0, 0, 1).fill(7, 1, 2)),
    aux: rng.bytes(32),
  })
  return requestItemV2(sealed)
}

export async function signedAsk(signer: StatementSigner, request: DelegationRequest, change: Change): Promise<Ask> {
  const { item = (same) => same, payload: alter = (same) => same, transit = (same) => same } = change
  const changed = { ...request, ...change.request }
  const whole = { ...changed, items: changed.items.map((inner) => item(inner)) }
  const payload = alter(encodeRequest(whole))
  const statement = requestStatement(whole, payload)
  const signature = await (change.signer ?? signer).sign(statement)
  return transit({ authorization: { payload, signature, publicKeyId: whole.publicKeyId } })
}

function owner(name: string, signer: StatementSigner, principal: Principal): RuleCase {
  return {
    name,
    tree: { rule: 'owner' },
    ask(change) {
      const id = change.without ? 'none' : signer.id
      const silent: StatementSigner = { id, sign: async () => new Uint8Array(0) }
      const items = [labelled(principal)]
      return signedAsk(change.without ? silent : signer, requestOf({ publicKeyId: id, items }), change)
    },
  }
}

function session(name: string, principal: StatementSigner, leaf: Principal): RuleCase {
  return {
    name,
    tree: { rule: 'owner' },
    async ask(change) {
      const sessionKey = createSigner()
      const fields: SessionBody = {
        clusterId,
        keyId,
        recipientSpkiHash: sha256(spki),
        sessionKey: sessionKey.publicKey,
        principal: principal.id,
        notBefore: NOW_SECONDS - 30,
        expiresAt: NOW_SECONDS + 600,
        sessionId: rng.bytes(32),
        handles: [{ chainId: 0, handle: HANDLE }],
        ...change.credential,
      }
      const body = encodeSessionBody(fields)
      const signature = await (change.forger ?? principal).sign(sessionStatement(fields, body))
      const evidence = change.without ? [] : [{ kind: EVIDENCE_SESSION, bytes: encodeSession({ body, signature }) }]
      const publicKeyId = `session:${bytesToHex(sessionHash(body))}`
      return signedAsk(byKey(sessionKey), requestOf({ publicKeyId, evidence, items: [labelled(leaf)] }), change)
    },
  }
}

async function grantFor(K: GrantBody['K'], issuer: StatementSigner, change: Change): Promise<Uint8Array> {
  const fields: GrantBody = {
    clusterId,
    keyId,
    chainId: 0,
    handle: HANDLE,
    K,
    recipientSpkiHash: sha256(spki),
    requester: key.id,
    notBefore: NOW_SECONDS - 10,
    expiresAt: NOW_SECONDS + 10,
    grantId: bytes32(8),
    ...change.credential,
  }
  const body = encodeGrantBody(fields)
  const signer = change.forger ?? issuer
  return encodeGrant({ body, issuer: signer.id, signature: await signer.sign(grantStatement(fields, body)) })
}

function grant(name: string, issuer: StatementSigner, version: 1 | 2): RuleCase {
  return {
    name,
    tree: { rule: 'grant', issuers: [issuer.id] },
    ...(version === 1 && { envelopes: 'v1' }),
    async ask(change) {
      const sealed = labelled({ kind: 'ed25519', key: bytes32(1) })
      const K = itemPoint(sealed)
      const bytes = change.without ? new Uint8Array(0) : await grantFor(K, issuer, change)
      const items: RequestItem[] = version === 2 ? [sealed] : [{ version, K, chainId: 0, handle: HANDLE, grant: bytes }]
      const evidence = version === 2 && !change.without ? [{ kind: EVIDENCE_GRANT, bytes }] : []
      return signedAsk(key, requestOf({ items, evidence }), change)
    },
  }
}

function nox(name: string, options: object, through: 'runner' | 'combiner', withUser = false): RuleCase {
  const gatewayAddress = gateway.hex
  return {
    name,
    tree: { rule: 'nox', chain: CHAIN, gateway: gatewayAddress, ...options },
    envelopes: 'v1',
    async ask(change) {
      const K = itemPoint(labelled({ kind: 'ed25519', key: bytes32(1) }))
      const target = hexOf(spki)
      const { user: userChange, ...changed } = (change.credential ?? {}) as { readonly user?: object }
      const unsigned = { chainId: CHAIN, ephemeralPubKey: hexOf(K), targetPubKey: target, ...changed }
      const data = noxDelegateTypedData(unsigned)
      const signature = await (change.forger ?? gateway).sign({ message: bytes32(0), typedData: data })
      const window = { notBefore: NOW_SECONDS - 60, expiresAt: NOW_SECONDS + 600 }
      const asked = { address: user.address, encryptionPubKey: target, ...window, ...userChange }
      const userData = noxDataAccessTypedData(asked, { chainId: CHAIN, contract })
      const userSignature = await user.sign({ message: bytes32(0), typedData: userData })
      const authorization: NoxAuthorization = {
        ...unsigned,
        signature,
        ...(withUser && { user: { ...asked, signature: userSignature } }),
      }
      const bytes = change.without ? new Uint8Array(0) : encodeNoxAuthorization(authorization)
      const items: RequestItem[] = [{ version: 1, K, chainId: CHAIN, handle: HANDLE, grant: bytes }]
      const signer = through === 'combiner' ? combiner : key
      return signedAsk(signer, requestOf({ publicKeyId: signer.id, items }), change)
    },
  }
}

const onchain: RuleCase = {
  name: 'onchain',
  tree: { rule: 'onchain', chain: CHAIN, contract },
  ask(change) {
    const signer = change.without ? key : (change.forger ?? wallet)
    const items = [labelled({ kind: 'ethereum', address: bytes32(1).slice(12) }, CHAIN)]
    return signedAsk(signer, requestOf({ publicKeyId: signer.id, items }), change)
  },
}

const token: RuleCase = {
  name: 'token (beside owner)',
  tree: { all: [{ rule: 'owner' }, { rule: 'token', sha256: [bytesToHex(sha256(new TextEncoder().encode(TOKEN)))] }] },
  async ask(change) {
    const ask = await signedAsk(
      key,
      requestOf({ items: [labelled({ kind: 'ed25519', key: alice.publicKey })] }),
      change,
    )
    const { text = TOKEN } = (change.credential ?? {}) as { readonly text?: string }
    return change.without ? ask : { ...ask, token: text }
  },
}

const quota: RuleCase = {
  name: 'quota (beside owner)',
  tree: { all: [{ rule: 'owner' }, { rule: 'quota', requester: [{ items: 1_000, seconds: 3_600 }] }] },
  ask: (change) => signedAsk(key, requestOf({ items: [labelled({ kind: 'ed25519', key: alice.publicKey })] }), change),
}

const walletLeaf: Principal = { kind: 'ethereum', address: wallet.address }
const keyLeaf: Principal = { kind: 'ed25519', key: alice.publicKey }

export const RULES: {
  readonly owners: readonly RuleCase[]
  readonly sessions: readonly RuleCase[]
  readonly grants: readonly RuleCase[]
  readonly grantV2: RuleCase
  readonly nox: RuleCase
  readonly noxCombined: RuleCase
  readonly noxUser: RuleCase
  readonly onchain: RuleCase
  readonly token: RuleCase
  readonly quota: RuleCase
} = {
  owners: [owner('owner, an Ed25519 key', key, keyLeaf), owner('owner, a wallet', wallet, walletLeaf)],
  sessions: [
    session('owner, in a session of a key', key, keyLeaf),
    session('owner, in a session of a wallet', wallet, walletLeaf),
  ],
  grants: [grant('grant of a key', keyIssuer, 1), grant('grant of a wallet', walletIssuer, 1)],
  grantV2: grant('grant for a v2 item', keyIssuer, 2),
  nox: nox('nox', {}, 'runner'),
  noxCombined: nox('nox through a combiner', { combiners: [combiner.id] }, 'combiner'),
  noxUser: nox('nox with the user', { contract, user: 'authorization' }, 'runner', true),
  onchain,
  token,
  quota,
}
