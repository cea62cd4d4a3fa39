import { execFile } from 'node:child_process'
import { createRequire } from 'node:module'
import { promisify } from 'node:util'
import { PROGRAMS } from '@tkms/examples/programs'
import { describe, expect, it } from 'vitest'

const execute = promisify(execFile)

describe.each(Object.entries(PROGRAMS))('%s, bundled', (name, path) => {
  it('starts and says what it is', async () => {
    const { stdout } = await execute(process.execPath, [path, '--help'])
    expect(stdout).toContain(name)
  })

  it('finds the native curve from where it lies', async () => {
    const library = createRequire(path).resolve('@tkms/curve-native/libsecp256k1')
    const use = `const { secp256k1 } = await import(process.argv[1]); console.log(secp256k1.publicKeyCreate(new Uint8Array(32).fill(1)).length)`
    const { stdout } = await execute(process.execPath, ['--input-type=module', '--eval', use, library])
    expect(stdout).toBe('33\n')
  })
})
