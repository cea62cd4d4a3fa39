import { benchPeers, type PeerCosts } from './peers.ts'
import { type Bound, type Part, type Row, rowOf } from './report.ts'

/** Other projects that decrypt for others. Every figure of theirs stands below the one of this project that it is compared with. */
export const peers: Part = {
  name: 'peers',
  title: 'Peers: 3 of 5, one core; a ratio is how many times as long the peer takes',
  async run({ quick }) {
    const costs = await benchPeers(quick ? { rounds: 3, calls: 5 } : { rounds: 15, calls: 20 })
    return { rows: peerRows(costs), details: { peers: costs } }
  },
}

export function peerRows({ us, ratios }: PeerCosts): Row[] {
  const own = (name: string, value: number): Row[] => rowOf({ name, value, unit: 'us' })
  const peer = (name: string, value: number, ratio: number, bound?: Bound): Row[] =>
    rowOf({ name, value, unit: 'us', ratio, ...(bound === undefined ? {} : { bound }) })
  const { umbral_decrypt: umbralDecrypt } = us
  return [
    ...own('partial with its proof', us.partial),
    ...peer('Umbral, a fragment with its proof', us.umbral_reencrypt, ratios.umbral_reencrypt_to_partial, {
      atLeast: 1.8,
    }),
    ...own('complete answer of a node', us.answer),
    ...peer('ferveo, a share without a proof', us.ferveo_share, ratios.ferveo_share_to_answer, { atLeast: 25 }),
    ...peer('ECIES with one key, in JavaScript', us.single_key_decrypt, ratios.single_key_to_answer),
    ...own('the same for a batch of 16, per item', us.batched),
    ...peer('ferveo, a share to one item of that', us.ferveo_share, ratios.ferveo_share_to_batched),
    ...own('3 partials combined, checked and opened', us.open),
    ...peer('Umbral, opened with 3 verified fragments', umbralDecrypt, ratios.umbral_decrypt_to_open, { atLeast: 1 }),
    ...peer('ferveo, 3 shares combined and opened', us.ferveo_decrypt, ratios.ferveo_decrypt_to_open),
    ...peer('Seal, opened with 3 keys that it has', us.seal_again, ratios.seal_again_to_open),
    ...own('3 proofs verified, partials combined and opened', us.proven),
    ...peer('Umbral, the same 3 verified fragments', umbralDecrypt, ratios.umbral_decrypt_to_proven, { atLeast: 1 }),
    ...peer('Umbral, 3 fragments verified and opened', us.umbral_received, ratios.umbral_received_to_proven),
    ...peer('Seal, 3 keys fetched, verified and opened', us.seal_decrypt, ratios.seal_decrypt_to_proven),
  ]
}
