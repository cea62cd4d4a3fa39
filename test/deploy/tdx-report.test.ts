import { execFile, spawnSync } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { deploymentPath } from '../support/deployment-files.ts'

/** `deploy/tdx/prepare-report.sh` with files that have the owners and modes that the kernel gives those of a report. */

const execute = promisify(execFile)
const SCRIPT = deploymentPath('deploy/tdx/prepare-report.sh')
/** Some user and group that own nothing. */
const STRANGER = 61_234
const isRoot = process.getuid?.() === 0 && spawnSync('setpriv', ['--version']).status === 0
const MODES = { provider: 0o444, generation: 0o444, inblob: 0o200, outblob: 0o444 }

let directory: string
let report: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-report-'))
  await chmod(directory, 0o755)
  report = join(directory, 'tkms')
})
afterEach(() => rm(directory, { recursive: true }))

/** What the kernel makes of a `mkdir` by root. */
async function makeReport(provider = 'tdx_guest'): Promise<void> {
  await mkdir(report, { mode: 0o755 })
  const texts = { provider: `${provider}\n`, generation: '0\n', inblob: '', outblob: 'a quote' }
  for (const name of ['provider', 'generation', 'inblob', 'outblob'] as const) {
    await writeFile(join(report, name), texts[name])
    await chmod(join(report, name), MODES[name])
  }
}

const prepare = (group: string): Promise<unknown> => execute(SCRIPT, [group, report], { timeout: 10_000 })
const modeOf = async (name: string): Promise<number> => (await stat(join(report, name))).mode & 0o777

/** As a node of that group would, without any capability: opens without making or cutting. */
const as = (group: number, program: string, ...args: readonly string[]): Promise<{ stdout: string }> =>
  execute('setpriv', [`--reuid=${STRANGER}`, `--regid=${group}`, '--clear-groups', program, ...args], {
    timeout: 10_000,
  })
const writeAs = (group: number): Promise<unknown> =>
  as(group, 'dd', 'if=/dev/zero', 'bs=64', 'count=1', `of=${join(report, 'inblob')}`, 'conv=notrunc,nocreat')

describe('prepare-report.sh', () => {
  test.skipIf(!isRoot)('opens the two files that a quote takes for one group, and nothing for others', async () => {
    await makeReport()
    await expect(writeAs(STRANGER)).rejects.toThrow('Permission denied')
    for (let times = 0; times < 2; times++) await prepare(`${STRANGER}`)
    await writeAs(STRANGER)
    expect(await readFile(join(report, 'inblob'))).toEqual(Buffer.alloc(64))
    expect((await as(STRANGER, 'cat', join(report, 'outblob'))).stdout).toBe('a quote')

    await expect(writeAs(STRANGER + 1)).rejects.toThrow('Permission denied')
    await expect(as(STRANGER + 1, 'cat', join(report, 'outblob'))).rejects.toThrow('Permission denied')
    await expect(as(STRANGER, 'mkdir', join(report, 'another'))).rejects.toThrow('Permission denied')
    await expect(as(STRANGER, 'dd', `of=${join(report, 'provider')}`, 'conv=nocreat')).rejects.toThrow('denied')
    expect([await modeOf('inblob'), await modeOf('outblob')]).toEqual([0o220, 0o440])
  })

  test('refuses what is no report of a TDX guest, and says what to do', async () => {
    await expect(execute(SCRIPT, ['root', join(directory, 'none/tkms')])).rejects.toThrow('modprobe tdx_guest')
    await expect(prepare('root')).rejects.toThrow('it is no report directory')
    await rm(report, { recursive: true })
    await makeReport('sev_guest')
    await expect(prepare('root')).rejects.toThrow('"sev_guest", not tdx_guest')
    expect(await modeOf('inblob')).toBe(MODES.inblob)
    await expect(execute(SCRIPT, [])).rejects.toThrow('usage')
  })
})
