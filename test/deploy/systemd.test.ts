import { execFile, spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { deploymentPath, deploymentText } from '../support/deployment-files.ts'

/** `deploy/systemd` as systemd reads it, where its tools are installed, and as this program needs it everywhere. */

const UNIT = 'deploy/systemd/kms-node.service'
const REPORT_UNIT = 'deploy/systemd/tkms-report.service'
const REPORT_SCRIPT = '/usr/local/lib/tkms/prepare-report.sh'
const hasTools = spawnSync('systemd-analyze', ['--version']).status === 0
/** systemd's own measure: 0 is nothing to attack, 10 no protection at all; times ten. */
const MOST_EXPOSED = 20
const MOST_EXPOSED_DEVICE = 30
const DROP_INS = [
  ['tdx.conf', MOST_EXPOSED],
  ['tpm2.conf', MOST_EXPOSED_DEVICE],
] as const

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
  let reportUnit: string
  /** verify looks for the programs of a unit. */
  const text = deploymentText(UNIT).replaceAll('/opt/tkms/bin/node', process.execPath)
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tkms-systemd-'))
    unit = join(directory, 'kms-node.service')
    reportUnit = join(directory, 'tkms-report.service')
    await writeFile(unit, text)
    const script = deploymentPath('deploy/tdx/prepare-report.sh')
    await writeFile(reportUnit, deploymentText(REPORT_UNIT).replaceAll(REPORT_SCRIPT, script))
  })
  afterAll(() => rm(directory, { recursive: true }))

  const analyze = async (args: readonly string[]): Promise<string> => {
    const { stdout, stderr } = await promisify(execFile)('systemd-analyze', ['--no-pager', ...args], {
      timeout: 30_000,
    })
    return `${stdout}${stderr}`
  }
  /** What verify says of this unit: it also reads those of the machine. */
  const verify = async (which = unit): Promise<readonly string[]> =>
    (await analyze(['verify', '--man=no', which])).split('\n').filter((line) => /kms-node|tkms-report/.test(line))

  test('finds nothing wrong in the unit', async () => {
    expect(await verify()).toEqual([])
    await writeFile(unit, text.replace('PrivateTmp', 'PrivateTemp'))
    expect(await verify()).toEqual([expect.stringContaining('PrivateTemp')])
    await writeFile(unit, text)
  })

  test('finds nothing wrong in the unit that opens the report directory, and little exposed', async () => {
    expect(await verify(reportUnit)).toEqual([])
    const security = ['security', '--offline=yes', `--threshold=${MOST_EXPOSED_DEVICE}`, reportUnit]
    expect(await analyze(security)).toContain('Overall exposure level')
  })

  test('finds it little exposed, with the drop-ins for devices too', async () => {
    const security = (most: number): Promise<string> =>
      analyze(['security', '--offline=yes', `--threshold=${most}`, unit])
    expect(await security(MOST_EXPOSED)).toContain('Overall exposure level')
    await expect(security(1)).rejects.toThrow('Command failed')
    const dropIns = join(directory, 'kms-node.service.d')
    for (const [name, most] of DROP_INS) {
      await mkdir(dropIns)
      await writeFile(join(dropIns, name), deploymentText(`${UNIT}.d/${name}`))
      expect(await verify()).toEqual([])
      expect(await security(most)).toContain('Overall exposure level')
      await rm(dropIns, { recursive: true })
    }
  })
})
