package api

import (
	"context"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	switching "github.com/tongma/tongma/switch"
)

const (
	scrapeWithin  = 2 * time.Second
	scrapeWindows = 64 // latest windows that are looked at
)

// collector reads the books at each scrape. If they cannot be read in time, it
// says so by tongma_ledger_up and gives no figures: none are better than stale.
type collector struct {
	engine                                   *switching.Engine
	up, ratio, unknown, broken, window, info *prometheus.Desc
	version                                  string
}

func newCollector(e *switching.Engine, version string) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &collector{engine: e, version: version,
		up:      desc("tongma_ledger_up", "1 if the books could be read for this scrape."),
		ratio:   desc("tongma_position_ratio", "Position and holds over the net debit cap.", "participant", "currency"),
		unknown: desc("tongma_unknown_outcomes", "Payments that are held, awaited or being reversed."),
		broken:  desc("tongma_net_sum_nonzero", "Currencies whose positions do not sum to zero: must be 0.", "currency"),
		window:  desc("tongma_window_state", "Windows by state, of the latest ones.", "state"),
		info:    desc("tongma_build_info", "The program that runs.", "version", "goversion")}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.up, c.ratio, c.unknown, c.broken, c.window, c.info} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(c.info, 1, c.version, runtime.Version())
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWithin)
	defer cancel()
	seen := make(chan books, 1) // the reading may come after we have given up
	err := c.engine.Ledger().Read(ctx, func(b *clearing.Book) {
		seen <- books{b.Positions(), b.Sheets(scrapeWindows), b.Unfinished()}
	})
	if err != nil {
		gauge(c.up, 0)
		return
	}
	now := <-seen
	gauge(c.up, 1)
	gauge(c.unknown, float64(now.unfinished))
	for _, p := range now.positions {
		if p.Capped && p.Cap > 0 {
			gauge(c.ratio, float64(p.Position+p.Reserved)/float64(p.Cap), string(p.Participant), p.Currency.Code())
		}
	}
	for currency, bad := range now.unbalanced() {
		gauge(c.broken, bad, currency.Code())
	}
	for state, n := range now.windows() {
		gauge(c.window, float64(n), clearing.WindowState(state).String())
	}
}

// books is what one scrape sees.
type books struct {
	positions  []clearing.Position
	sheets     []clearing.Sheet
	unfinished int
}

// unbalanced tells of each currency whether its figures fail to sum to zero.
// While a window is being settled the positions do not, since the agent holds
// what was collected: then only the nets are looked at.
func (b *books) unbalanced() map[tongma.Currency]float64 {
	settling := b.windows()[clearing.WindowInstructed] > 0
	sums, out := map[tongma.Currency]int64{}, map[tongma.Currency]float64{}
	for _, p := range b.positions {
		sums[p.Currency] += p.Position
		out[p.Currency] = 0
	}
	for c, sum := range sums {
		if sum != 0 && !settling {
			out[c] = 1
		}
	}
	for _, s := range b.sheets {
		nets := map[tongma.Currency]int64{}
		for _, n := range s.Nets {
			nets[n.Currency] += n.Net
		}
		for c, sum := range nets {
			if sum != 0 {
				out[c] = 1
			}
		}
	}
	return out
}

func (b *books) windows() (byState [4]int) {
	for _, s := range b.sheets {
		byState[s.State&3]++
	}
	return byState
}
