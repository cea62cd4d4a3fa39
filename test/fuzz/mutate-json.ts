import type { Dice } from '../model/dice.ts'

type Json = null | boolean | number | string | Json[] | { [name: string]: Json }

const STRANGE: readonly Json[] = [
  null,
  true,
  0,
  -1,
  1.5,
  1e308,
  2 ** 53,
  65_536,
  '',
  '0x',
  '0X00',
  '0xZZ',
  '0x0',
  '\u0000',
  '\ud800',
  'a'.repeat(5_000),
  [],
  {},
  [[[[[[]]]]]],
  { toString: 1 },
  { length: 1e9 },
]
const STRANGE_NAMES = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '', '0', 'length', 'version']

const isObject = (value: Json): value is { [name: string]: Json } =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function changeString(text: string, dice: Dice): Json {
  switch (dice.below(8)) {
    case 0:
      return text.toUpperCase()
    case 1:
      return text.slice(0, dice.below(text.length + 1))
    case 2:
      return `${text}${dice.pick(['0', '00', ' ', '\n', 'g'])}`
    case 3:
      return text.startsWith('0x') ? text.slice(2) : `0x${text}`
    case 4: {
      const at = dice.below(text.length + 1)
      return `${text.slice(0, at)}${dice.pick(['f', '0', 'é', '-', '%', '"'])}${text.slice(at + 1)}`
    }
    case 5:
      return [text]
    case 6:
      return text.repeat(dice.within(0, 4))
    default:
      return dice.pick(STRANGE)
  }
}

function change(value: Json, dice: Dice): Json {
  if (Array.isArray(value)) {
    if (value.length === 0 || dice.chance(0.15)) return dice.pick(STRANGE)
    const at = dice.below(value.length)
    const item = value[at] ?? null
    switch (dice.below(5)) {
      case 0:
        return value.toSpliced(at, 1)
      case 1:
        return value.toSpliced(at, 0, item)
      case 2:
        return dice.shuffle(value)
      default:
        return value.with(at, change(item, dice))
    }
  }
  if (isObject(value)) {
    const names = Object.keys(value)
    if (names.length === 0 || dice.chance(0.1)) return dice.pick(STRANGE)
    const name = dice.pick(names)
    const { [name]: inner = null, ...others } = value
    switch (dice.below(6)) {
      case 0:
        return others
      case 1:
        return { ...value, [dice.pick(STRANGE_NAMES)]: inner }
      case 2:
        return { [dice.pick(STRANGE_NAMES)]: inner, ...others }
      default:
        return { ...value, [name]: change(inner, dice) }
    }
  }
  if (typeof value === 'string') return changeString(value, dice)
  if (typeof value === 'number' && dice.chance(0.5))
    return dice.pick([value + 1, -value, value + 0.5, value * 1e9, `${value}`])
  return dice.pick(STRANGE)
}

/** JSON text with one to three values, names or characters changed; sometimes no JSON any more. */
export function mutateJson(dice: Dice, text: string): string {
  let value = JSON.parse(text) as Json
  for (let left = dice.within(0, 3); left > 0; left--) value = change(value, dice)
  const changed = JSON.stringify(value)
  switch (dice.below(20)) {
    case 0:
      return changed.slice(0, dice.below(changed.length + 1))
    case 1:
      return `${'['.repeat(20_000)}${changed}`
    case 2:
      return changed.replace('{', '{"__proto__":{"polluted":1},')
    case 3: {
      const at = dice.below(changed.length + 1)
      return `${changed.slice(0, at)}${String.fromCharCode(dice.below(0x300))}${changed.slice(at + 1)}`
    }
    default:
      return changed
  }
}
