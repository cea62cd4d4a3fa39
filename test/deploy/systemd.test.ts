import { execFile, spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { deploymentText } from '../support/deployment-files.ts'

/** `deploy/systemd` as systemd reads it, where its tools are installed, and as this program needs it everywhere. */

const UNIT = 'deploy/systemd/kms-node.service'
const DROP_INS = ['tdx.conf', 'tpm2.conf']
const hasTools = spawnSync('systemd-analyze', ['--version']).status === 0
/** systemd's own measure: 0 is nothing to attack, 10 no protection at all; times ten. */
const MOST_EXPOSED = 20
const MOST_EXPOSED_DEVICE = 30

/** Every `Key=value` of a unit file. */
function settingsOf(text: string): ReadonlyMap<string, readonly string[]> {
  const settings = new Map<string, string[]>()
  for (const line of text.split('\n')) {
    const [, name, value] = /^([A-Za-z]+)=(.*)$/.exec(line) ?? []
    if (name !== undefined) settings.set(name, [...(settings.get(name) ?? []), value ?? ''])
  }
  return settings
}

const settings = settingsOf(deploymentText(UNIT))

describe('deploy/systemd', () => {
  test.each([
    ['NoNewPrivileges', 'yes'],
    ['ProtectSystem', 'strict'],
    ['PrivateTmp', 'yes'],
    ['CapabilityBoundingSet', ''],
    ['LoadCredential', 'passphrase:/etc/tkms/passphrase'],
    ['StateDirectory', 'tkms'],
    ['StateDirectoryMode', '0700'],
    ['UMask', '0077'],
    ['Restart', 'on-failure'],
    ['LimitCORE', '0'],
  ])('says %s=%s', (name, value) => {
    expect(settings.get(name)).toEqual([value])
  })

  test('leaves a stop the time that the node takes, and hands the passphrase over as a file', () => {
    expect(Number(settings.get('TimeoutStopSec')?.[0])).toBeGreaterThan(15)
    expect(settings.get('Environment')?.[0]).toContain('TKMS_PASSPHRASE_FILE=%d/passphrase')
    expect(settings.get('ExecStart')?.[0]).toMatch(/kms-node\.js start --data-dir \/var\/lib\/tkms$/)
  })
})

describe.skipIf(!hasTools)('deploy/systemd, by systemd-analyze', () => {
  let directory: string
  let unit: string
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tkms-systemd-'))
    unit = join(directory, 'kms-node.service')
    // verify looks for the programs of the unit.
    await writeFile(unit, deploymentText(UNIT).replaceAll('/usr/bin/node', process.execPath))
  })
  afterAll(() => rm(directory, { recursive: true }))

  const analyze = async (args: readonly string[]): Promise<string> => {
    const { stdout, stderr } = await promisify(execFile)('systemd-analyze', ['--no-pager', ...args], {
      timeout: 30_000,
    })
    return `${stdout}${stderr}`
  }
  /** What verify says of this unit: it also reads those of the machine. */
  const verify = async (): Promise<readonly string[]> =>
    (await analyze(['verify', '--man=no', unit])).split('\n').filter((line) => line.includes('kms-node'))

  test('finds nothing wrong in the unit', async () => {
    expect(await verify()).toEqual([])
    const typo = deploymentText(UNIT).replaceAll('/usr/bin/node', process.execPath).replace('PrivateTmp', 'PrivateTemp')
    await writeFile(unit, typo)
    expect(await verify()).toEqual([expect.stringContaining('PrivateTemp')])
    await writeFile(unit, deploymentText(UNIT).replaceAll('/usr/bin/node', process.execPath))
  })

  test('finds it little exposed, with the drop-ins for devices too', async () => {
    const security = (most: number): Promise<string> =>
      analyze(['security', '--offline=yes', `--threshold=${most}`, unit])
    expect(await security(MOST_EXPOSED)).toContain('Overall exposure level')
    await expect(security(1)).rejects.toThrow('Command failed')
    const dropIns = join(directory, 'kms-node.service.d')
    for (const name of DROP_INS) {
      await mkdir(dropIns)
      await writeFile(join(dropIns, name), deploymentText(`${UNIT}.d/${name}`))
      expect(await verify()).toEqual([])
      expect(await security(MOST_EXPOSED_DEVICE)).toContain('Overall exposure level')
      await rm(dropIns, { recursive: true })
    }
  })
})
