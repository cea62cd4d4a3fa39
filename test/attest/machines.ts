import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { collateralFile } from '../../packages/kms-node/src/attest/collateral-cache.ts'
import { type MintedChain, MINTED_MR_TD, mintChain } from '../../packages/kms-node/src/attest/minted-chain.fixture.ts'

const DAY_MS = 86_400_000

/** What is wrong with a machine, or nothing. */
export type MachineKind = 'good' | 'measurement' | 'expired' | 'revoked' | 'debug'

/** Machines of one manufacturer, its root, and what is known of each kind of platform. */
export interface Machines {
  /** Makes a node run on such a machine from its next start on. */
  place(dataDir: string, kind: MachineKind): Promise<void>
  /** Everything that a node needs to prove itself and to judge others; once per node. */
  equip(dataDir: string): Promise<void>
  /** From its next start on a node on a good machine takes its quotes from whatever answers for a guest agent there. */
  trustAgent(dataDir: string, socket: string): Promise<void>
  /** From now on what this node knows of good machines ends then: Unix milliseconds. */
  expire(dataDir: string, untilMs: number): Promise<void>
  /** What a good machine signs. @param reportData 64 bytes */
  quote(reportData: Uint8Array): Uint8Array
}

/** `expired`: the collateral of its platform ran out ten days ago. `revoked`: its certificate is on the list. */
export function mintMachines(nowMs: number): Machines {
  const good = mintChain(nowMs)
  const { rootCertificate: root } = good
  const expired = mintChain(nowMs, { fmspc: '00a06f000001', root })
  const revoked = mintChain(nowMs, { fmspc: '00a06f000002', root })
  const collaterals: readonly (readonly [MintedChain, string])[] = [
    [good, JSON.stringify(good.collateral())],
    [expired, JSON.stringify(expired.collateral({ issuedMs: nowMs - 40 * DAY_MS }))],
    [revoked, JSON.stringify(revoked.collateral({ revokePck: true }))],
  ]
  const files = {
    good: good.simulatedFile(),
    measurement: good.simulatedFile({ mrTd: 'ee'.repeat(48) }),
    expired: expired.simulatedFile(),
    revoked: revoked.simulatedFile(),
    debug: good.simulatedFile({ tdAttributes: '0100001000000000' }),
  } satisfies Record<MachineKind, unknown>
  const place = (dataDir: string, kind: MachineKind): Promise<void> =>
    writeFile(join(dataDir, 'machine.json'), JSON.stringify(files[kind]), { mode: 0o600 })
  return {
    place,
    equip: async (dataDir) => {
      await place(dataDir, 'good')
      await writeFile(join(dataDir, 'root.pem'), good.rootPem)
      await mkdir(join(dataDir, 'collateral'))
      for (const [chain, collateral] of collaterals)
        await writeFile(join(dataDir, 'collateral', fileOf(chain)), collateral)
      await appendFile(join(dataDir, 'node.yaml'), SETTINGS)
    },
    trustAgent: async (dataDir, socket) => {
      const file = join(dataDir, 'node.yaml')
      const settings = await readFile(file, 'utf8')
      await writeFile(file, settings.replace(SIMULATED, `  provider: dstack\n  dstackSocket: ${socket}\n`))
    },
    expire: (dataDir, nextUpdateMs) =>
      writeFile(join(dataDir, 'collateral', fileOf(good)), JSON.stringify(good.collateral({ nextUpdateMs }))),
    quote: (reportData) => good.tdxQuote(reportData),
  }
}

const fileOf = ({ fmspc }: MintedChain): string => collateralFile({ tee: 'tdx', fmspc, ca: 'platform' })

const SIMULATED = `  provider: simulated
  simulatedFile: machine.json
`
const SETTINGS = `
attestation:
${SIMULATED}  rootFile: root.pem
  requirePeers: true
  allow:
    - name: released
      mrTd: ${Buffer.from(MINTED_MR_TD).toString('hex')}
`
