/** Numbers, money and times as people read them. Every function takes its figures; none reads a clock. */

const NONE = "–";
const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** 1234567 → "1,234,567". */
export function count(value: number | null | undefined): string {
  return value == null ? NONE : whole.format(value);
}

/** Four signs at most, for places where the exact number is near: 1234567 → "1.23M". */
export function short(value: number | null | undefined): string {
  if (value == null) return NONE;
  const size = Math.abs(value);
  if (size < 10 && !Number.isInteger(value)) return value.toFixed(size < 1 ? 2 : 1);
  if (size < 9_999.5) return whole.format(value);
  const [unit, sign] = size < 999_500 ? [1e3, "k"] : size < 999.5e6 ? [1e6, "M"] : [1e9, "G"];
  const scaled = value / unit;
  return `${Number(scaled.toFixed(Math.abs(scaled) < 9.995 ? 2 : Math.abs(scaled) < 99.95 ? 1 : 0))}${sign}`;
}

/** Dollars; small sums keep two figures that say something: 0.00123 → "$0.0012". */
export function money(dollars: number | null | undefined): string {
  if (dollars == null) return NONE;
  if (dollars === 0) return "$0.00";
  const size = Math.abs(dollars);
  if (size >= 0.1) return `$${dollars.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
  return `$${dollars.toFixed(Math.min(9, 1 - Math.floor(Math.log10(size))))}`;
}

export function bytes(value: number | null | undefined): string {
  if (value == null) return NONE;
  if (value < 1000) return `${value} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let scaled = value / 1000;
  let unit = 0;
  while (scaled >= 999.5 && unit < units.length - 1) {
    scaled /= 1000;
    unit += 1;
  }
  return `${scaled.toFixed(scaled < 9.95 ? 1 : 0)} ${units[unit]}`;
}

/** A part of a whole, never rounded up to 100 % or down to 0 %. */
export function percent(part: number, of: number): string {
  if (of <= 0) return NONE;
  const value = (100 * part) / of;
  if (part > 0 && value < 0.1) return "<0.1%";
  if (part < of && value >= 99) return value > 99.9 ? ">99.9%" : `${(Math.floor(value * 10) / 10).toFixed(1)}%`;
  return `${value < 10 && value > 0 ? value.toFixed(1) : Math.round(value)}%`;
}

/** Two units at most: 93784 → "1d 2h". */
export function duration(seconds: number | null | undefined): string {
  if (seconds == null || !Number.isFinite(seconds)) return NONE;
  const left = Math.max(0, Math.round(seconds));
  if (left < 60) return `${left}s`;
  const minutes = Math.floor(left / 60);
  if (minutes < 60) return left % 60 && minutes < 10 ? `${minutes}m ${left % 60}s` : `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 ? `${hours}h ${minutes % 60}m` : `${hours}h`;
  return hours % 24 ? `${Math.floor(hours / 24)}d ${hours % 24}h` : `${Math.floor(hours / 24)}d`;
}

/** One unit, for tables: "now", "40s", "12m", "5h", "3d". */
export function age(seconds: number): string {
  if (seconds < 5) return "now";
  if (seconds < 60) return `${Math.floor(seconds)}s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

export function milliseconds(ms: number | null | undefined): string {
  if (ms == null) return NONE;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  return ms < 60_000 ? `${(ms / 1_000).toFixed(ms < 10_000 ? 2 : 1)} s` : duration(ms / 1_000);
}

/** "about 4m", "4m to 6m"; bounds that read the same are one. */
export function range(low: number, high: number): string {
  const [from, to] = [duration(low), duration(high)];
  return from === to ? from : `${from} – ${to}`;
}

/** Units a second; below one the number says more by the minute. */
export function rate(perSecond: number | null | undefined, unit = ""): string {
  if (perSecond == null) return NONE;
  const word = unit ? ` ${unit}` : "";
  if (perSecond > 0 && perSecond < 0.95) return `${short(perSecond * 60)}${word}/min`;
  return `${short(perSecond)}${word}/s`;
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}
