"""The soak's figures: what a process holds, and whether it grows."""

import os
import statistics


class Sample:
    """Memory in KiB and descriptors of a process."""

    def __init__(self, pid, cycle, age):
        self.cycle, self.age = cycle, age
        fields = {}
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                words = line.split()
                if len(words) == 3 and words[2] == "kB":
                    fields[words[0].rstrip(":")] = int(words[1])
        # A page that was written to and given back to the kernel is not held any more; RSS has the program's own text in it.
        self.dirty, self.rss = fields["Private_Dirty"], fields["Rss"]
        self.descriptors = len(os.listdir(f"/proc/{pid}/fd"))


def tenth(samples, number):
    """That tenth of the samples, the first being number 1."""
    size = max(1, len(samples) // 10)
    return samples[(number - 1) * size:number * size] if number < 10 else samples[-size:]


def growth(samples, field):
    """(mean of the second tenth, mean of the last, change in percent)."""
    early = statistics.fmean(getattr(item, field) for item in tenth(samples, 2))
    late = statistics.fmean(getattr(item, field) for item in tenth(samples, 10))
    return early, late, 100 * (late - early) / early


def slope(samples, field):
    """Least squares: units a thousand cycles, with its standard error."""
    xs, ys = [item.cycle / 1000 for item in samples], [getattr(item, field) for item in samples]
    if len(xs) < 3 or len(set(xs)) < 2:
        return 0.0, 0.0
    mx, my = statistics.fmean(xs), statistics.fmean(ys)
    sxx = sum((x - mx) ** 2 for x in xs)
    b = sum((x - mx) * (y - my) for x, y in zip(xs, ys)) / sxx
    rest = sum((y - my - b * (x - mx)) ** 2 for x, y in zip(xs, ys)) / (len(xs) - 2)
    return b, (rest / sxx) ** 0.5


def table(samples, title):
    """One line a tenth."""
    print(f"{title}: {len(samples)} samples, cycles {samples[0].cycle} to {samples[-1].cycle}")
    print("  tenth   written-to KiB (min-max)      RSS KiB   descriptors (min-max)")
    for number in range(1, 11):
        part = tenth(samples, number)
        dirty, files = [item.dirty for item in part], [item.descriptors for item in part]
        print(f"  {number:5}   {statistics.fmean(dirty):10.1f} ({min(dirty)}-{max(dirty)})"
              f"   {statistics.fmean(item.rss for item in part):10.1f}"
              f"   {statistics.fmean(files):8.1f} ({min(files)}-{max(files)})")
