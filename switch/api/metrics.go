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

const scrapeWithin = 2 * time.Second

// collector reads the books at each scrape. If they cannot be read in time, it
// says so by tongma_ledger_up and gives no figures: none are better than stale.
type collector struct {
	engine                                         *switching.Engine
	up, ratio, unknown, broken, window, legs, info *prometheus.Desc
	version                                        string
}

func newCollector(e *switching.Engine, version string) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &collector{engine: e, version: version,
		up:      desc("tongma_ledger_up", "1 if the books could be read for this scrape."),
		ratio:   desc("tongma_position_ratio", "Position and holds over the net debit cap and what is prefunded.", "participant", "currency"),
		unknown: desc("tongma_unknown_outcomes", "Payments that are held, awaited or being reversed."),
		broken:  desc("tongma_net_sum_nonzero", "Currencies whose positions do not sum to zero: must be 0.", "currency"),
		window:  desc("tongma_window_state", "Windows by state: open, closed, collecting, paying, short, settled.", "state"),
		legs:    desc("tongma_legs_due", "Legs of instructed windows that are not settled.", "model", "currency"),
		info:    desc("tongma_build_info", "The program that runs.", "version", "goversion")}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.up, c.ratio, c.unknown, c.broken, c.window, c.legs, c.info} {
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
		seen <- readBooks(b)
	})
	if err != nil {
		gauge(c.up, 0)
		return
	}
	now := <-seen
	gauge(c.up, 1)
	gauge(c.unknown, float64(now.unfinished))
	for _, p := range now.positions {
		if limit := float64(p.Cap) + float64(p.Prefunded); p.Capped && limit > 0 {
			use := p.Position + p.Reserved + p.MemoPosition + p.MemoReserved // of one with a sponsor, the first two are zero
			gauge(c.ratio, float64(use)/limit, string(p.Participant), p.Currency.Code())
		}
	}
	for currency, bad := range now.unbalanced() {
		gauge(c.broken, bad, currency.Code())
	}
	for state, n := range now.windows() {
		gauge(c.window, float64(n), clearing.Progress(state).String())
	}
	for k, n := range now.due() {
		gauge(c.legs, float64(n), k.model, k.currency.Code())
	}
}

// books is what one scrape sees.
type books struct {
	positions  []clearing.Position
	sheets     []clearing.Sheet          // of all windows that are not settled
	settled    int                       // the others
	withAgents map[tongma.Currency]int64 // of all windows
	unfinished int
}

func readBooks(b *clearing.Book) books {
	sheets, settled := b.Unsettled()
	return books{b.Positions(), sheets, settled, b.WithAgents(), b.Unfinished()}
}

// unbalanced tells of each currency whether its figures fail to sum to zero. What the
// agents hold counts as a position of theirs.
func (b *books) unbalanced() map[tongma.Currency]float64 {
	sums, out := map[tongma.Currency]int64{}, map[tongma.Currency]float64{}
	for _, p := range b.positions {
		sums[p.Currency] += p.Position
		out[p.Currency] = 0
	}
	for i := range b.sheets {
		s := &b.sheets[i]
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
	for c, sum := range sums {
		if sum+b.withAgents[c] != 0 {
			out[c] = 1
		}
	}
	return out
}

func (b *books) windows() (byState [7]int) {
	for _, s := range b.sheets {
		byState[s.Progress%7]++
	}
	byState[clearing.ProgressSettled] += b.settled
	return byState
}

type dueKey struct {
	model    string
	currency tongma.Currency
}

// due counts the legs that wait for money.
func (b *books) due() map[dueKey]int {
	out := map[dueKey]int{}
	for _, s := range b.sheets {
		if s.State != clearing.WindowInstructed {
			continue
		}
		for _, l := range s.Legs {
			if l.Due != 0 {
				out[dueKey{s.Model, l.Currency}]++
			}
		}
	}
	return out
}
