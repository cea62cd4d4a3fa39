import { ed25519 } from '@noble/curves/ed25519.js'
import { decodeCertificate } from '../../packages/dkg/src/ceremony/certificate.ts'
import { checkCertificate } from '../../packages/dkg/src/ceremony/check-certificate.ts'
import { configHash, createConfig, decodeSpec, encodeSpec } from '../../packages/dkg/src/ceremony/config.ts'
import type { SignedMessage } from '../../packages/dkg/src/ceremony/signed-message.ts'
import { bytesKey, equalBytes } from '../../packages/dkg/src/primitives/codec.ts'
import { decodeNodePublicKey, verifyEd25519 } from '../../packages/dkg/src/primitives/ed25519.ts'
import { nobleCurve } from '../../packages/dkg/src/primitives/noble-curve.ts'
import { participantIndex } from '../../packages/dkg/src/primitives/point.ts'
import { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import { verificationShare } from '../../packages/dkg/src/sharing/feldman.ts'
import type { Committee, Identity } from '../support/simulated-committee.ts'
import { importOf, reshareOf, type Sharing, sharingOf } from '../support/simulated-reshare.ts'
import { simulate, type SimulationOptions } from '../support/simulation.ts'
import { fixed, hex } from './fixed.ts'

/** What the golden key is handed over from: its certificate and shares, as `ceremony.json` has them. */
export interface GoldenKey {
  readonly spec: Uint8Array
  readonly certificate: Uint8Array
  /** Index to 32 bytes. */
  readonly shares: ReadonlyMap<number, Uint8Array>
}

const identityOf = (index: number): Identity => {
  const seed = fixed('identity', index)
  const publicKey = decodeNodePublicKey(ed25519.getPublicKey(seed))
  return { index: participantIndex(index), publicKey, sign: (message) => ed25519.sign(message, seed) }
}

const identitiesOf = (...indices: readonly number[]): Identity[] => indices.map(identityOf)

/** One ceremony of the real engine under the seeded scheduler: the same bytes every time. */
function run(committee: Committee, options: Omit<SimulationOptions, 'committee' | 'seed'>): object {
  const heard = new Map<string, SignedMessage>()
  const overhear = (message: SignedMessage): unknown => heard.set(bytesKey(message.bytes), message)
  const sharing = sharingOf(committee, simulate({ committee, seed: 1, overhear, ...options }))
  return documentOf(sharing, [...heard.values()])
}

/** The certificate, what it says, and the JOINSET and DEALs that its outcome is made of. */
function documentOf({ committee, certificate, shares }: Sharing, heard: readonly SignedMessage[]): object {
  const key = checkCertificate(nobleCurve, verifyEd25519, certificate)
  const { outcome } = decodeCertificate(nobleCurve, certificate)
  const ofOutcome = ({ header: { name, view }, payload }: SignedMessage): boolean =>
    view === outcome.view &&
    (name === 'joinset' || (name === 'deal' && equalBytes(payload.subarray(0, 32), outcome.sid)))
  return {
    spec: hex(encodeSpec(committee.spec)),
    configHash: hex(configHash(key.config)),
    members: key.config.members.map(({ index, publicKey }) => ({
      index,
      ed25519: hex(publicKey),
      ...shareField(shares.get(index)),
      verificationShare: hex(verificationShare(nobleCurve, key.commitment, index)),
    })),
    messages: heard.filter(ofOutcome).map(({ bytes }) => hex(bytes)),
    ceremony: hex(key.ceremony),
    sid: hex(outcome.sid),
    keyId: hex(key.keyId),
    sharingId: hex(key.sharingId),
    authorization: key.authorization,
    commitment: key.commitment.map(hex),
    certificate: hex(certificate),
  }
}

/** Absent where the node has no share and must be repaired. */
const shareField = (share: Secret | undefined): { readonly share?: string } =>
  share === undefined ? {} : { share: share.use(hex) }

/**
 * The golden key handed over: to other members with another threshold; again to its own committee, whose COMMITs of view 0 are lost, so
 * that view 1 proposes the outcome once more and node 5, which got no dealing, votes without a share; and a key that is imported.
 */
export function handOverDocument(golden: GoldenKey): object {
  const spec = decodeSpec(golden.spec)
  const committee: Committee = {
    spec,
    identities: identitiesOf(1, 2, 3, 4, 5),
    curve: nobleCurve,
    verify: verifyEd25519,
  }
  const shares = new Map([...golden.shares].map(([index, share]) => [index, Secret.copyOf(share)]))
  const sharing: Sharing = { committee, certificate: golden.certificate, shares }
  const moved = reshareOf(sharing, { members: identitiesOf(2, 3, 4, 6), t: 2, authorizers: [1, 2, 3, 5] })
  const refreshed = reshareOf(sharing, { members: identitiesOf(1, 2, 3, 4, 5), t: 3 })
  const imported = fixed('imported key')
  const importer = identityOf(7)
  const receivers = createConfig({ clusterId: spec.clusterId, t: 3, members: identitiesOf(1, 2, 3, 4, 5) })
  const target: Committee = {
    ...committee,
    spec: { ...spec, newConfig: receivers },
    identities: identitiesOf(1, 2, 3, 4, 5, 7),
  }
  return {
    reshare: run(moved, { oldShares: shares }),
    repropose: run(refreshed, {
      oldShares: shares,
      lose: ({ header: { name, view } }, to) =>
        view === 0 && (name === 'commit' || (to === 5 && (name === 'deal' || name === 'propose'))),
    }),
    import: {
      secret: hex(imported),
      ...run(importOf(target, importer, new Secret(imported)), { oldShares: new Map([[7, new Secret(imported)]]) }),
    },
  }
}
