// Loaded with `node --import`: the wall clock of this process is wrong by TKMS_TEST_SKEW_MS, its monotonic clock is not. With SIGUSR2 it jumps
// ahead by TKMS_TEST_JUMP_MS.
let skewMs = Number(process.env['TKMS_TEST_SKEW_MS'])
const RealDate = Date
const now = (): number => RealDate.now() + skewMs

globalThis.Date = new Proxy(RealDate, {
  get: (target, name, receiver): unknown => (name === 'now' ? now : Reflect.get(target, name, receiver)),
  construct: (target, args: readonly unknown[], newTarget): Date =>
    Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget) as Date,
  apply: () => new RealDate(now()).toString(),
})

const jumpMs = process.env['TKMS_TEST_JUMP_MS']
if (jumpMs !== undefined) process.on('SIGUSR2', () => (skewMs += Number(jumpMs)))
