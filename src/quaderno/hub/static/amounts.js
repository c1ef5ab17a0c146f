/** `bytes` for people, as the hub's own sentences have it (quaderno.quantities.say_amount). */
export function amount(bytes) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) {
    bytes /= 1024;
    unit += 1;
  }
  if (!unit) {
    return bytes === 1 ? "1 byte" : `${bytes} bytes`;
  }
  return `${bytes < 10 ? Number(bytes.toFixed(1)) : Math.round(bytes)} ${units[unit]}`;
}
