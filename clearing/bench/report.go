//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
)

// report is all that was measured.
type report struct {
	Began      string     `json:"began"` // RFC 3339
	Seconds    float64    `json:"seconds"`
	Processors int        `json:"processors"`
	Go         string     `json:"go"`
	Rounds     int        `json:"rounds"`
	Slice      float64    `json:"slice_seconds"`
	Transfers  []transfer `json:"transfers"`
	Notes      []string   `json:"notes,omitempty"` // what was not measured, and why
	Goals      []goal     `json:"goals"`
}

// transfer is what one contender did with so many callers.
type transfer struct {
	Contender string  `json:"contender"`
	Callers   int     `json:"callers"`
	Rate      spread  `json:"transfers_per_second"`
	P50       spread  `json:"p50_micros"`
	P99       spread  `json:"p99_micros"`
	CPU       spread  `json:"cpu_micros_per_transfer"`
	OfFile    *spread `json:"of_file,omitempty"`     // of the rate of the same writer on a plain file, in the same round
	OfPeer    *spread `json:"of_peer,omitempty"`     // of the peer's
	OfFloor   *spread `json:"of_floor,omitempty"`    // of the floor's
	OfSealed  *spread `json:"of_evidence,omitempty"` // of that of the peer with evidence, which no goal is set against
}

// spread is the median of the rounds, the lowest and the highest.
type spread struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

func spreadOf(values []float64) spread {
	values = slices.Sorted(slices.Values(values))
	return spread{values[len(values)/2], values[0], values[len(values)-1]}
}

func over(samples []sample, figure func(*sample) float64) spread {
	values := make([]float64, len(samples))
	for i := range samples {
		values[i] = figure(&samples[i])
	}
	return spreadOf(values)
}

// goal is a figure beside what it should be.
type goal struct {
	Name    string  `json:"name"`
	Value   float64 `json:"value"`
	Goal    float64 `json:"goal"`
	AtLeast bool    `json:"at_least"` // Goal is the least that will do; otherwise the most
	Unit    string  `json:"unit"`
	Met     bool    `json:"met"`
}

func (r *report) addGoal(name string, value, want float64, atLeast bool, unit string) {
	met := value <= want
	if atLeast {
		met = value >= want
	}
	r.Goals = append(r.Goals, goal{name, value, want, atLeast, unit, met})
}

// Goals of the transfers: of the product, against the same writer on a plain file and
// against the peer in the same round, and of what the busiest load should reach.
const (
	goalOfFile  = 0.7
	goalOfPeer  = 0.7
	goalRate    = 100_000
	goalCallers = 1024
)

// addTransfers adds what the contenders did with so many callers, samples[i][k]
// being contender i's in round k.
func (r *report) addTransfers(callers int, samples [][]sample) {
	of := func(i, j int) *spread {
		ratios := make([]float64, len(samples[i]))
		for k := range ratios {
			ratios[k] = samples[i][k].rate() / samples[j][k].rate()
		}
		s := spreadOf(ratios)
		return &s
	}
	called := func(name string) int {
		return slices.IndexFunc(contenders, func(c entrant) bool { return c.name == name })
	}
	file, peer, floor, sealed := called("file"), called("peer"), called("floor"), called("evidence")
	for i, c := range contenders {
		t := transferOf(c.name, callers, samples[i])
		t.OfFile, t.OfPeer, t.OfFloor, t.OfSealed = of(i, file), of(i, peer), of(i, floor), of(i, sealed)
		r.Transfers = append(r.Transfers, t)
		if c.name != "product" {
			continue
		}
		r.addGoal(fmt.Sprintf("product over file, %d callers", callers), t.OfFile.Median, goalOfFile, true, "")
		r.addGoal(fmt.Sprintf("product over peer, %d callers", callers), t.OfPeer.Median, goalOfPeer, true, "")
		if callers == goalCallers {
			r.addGoal(fmt.Sprintf("product, %d callers", callers), t.Rate.Median, goalRate, true, "transfers/s")
		}
	}
}

func transferOf(name string, callers int, samples []sample) transfer {
	return transfer{Contender: name, Callers: callers, Rate: over(samples, (*sample).rate),
		P50: over(samples, func(s *sample) float64 { return s.P50 }),
		P99: over(samples, func(s *sample) float64 { return s.P99 }),
		CPU: over(samples, func(s *sample) float64 { return s.CPU / float64(s.Payments) * 1e6 })}
}

// show prints the report, and writes it as JSON to the file at path, if given.
func (r *report) show(w io.Writer, path string) error {
	if len(r.Transfers) > 0 {
		r.showTransfers(w)
	}
	if len(r.Goals) > 0 {
		r.showGoals(w)
	}
	for _, note := range r.Notes {
		fmt.Fprintln(w, "note:", note)
	}
	fmt.Fprintf(w, "%d processors, %s, %.0f seconds in all\n", r.Processors, r.Go, r.Seconds)
	if path == "" {
		return nil
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

func (r *report) showTransfers(w io.Writer) {
	fmt.Fprintf(w, "Two-phase transfers a second: reserve and post, each on the disk before it is answered; %d participants.\n", banks)
	fmt.Fprintf(w, "Median of %d rounds in turns (lowest-highest); ratios are of the same round.\n", r.Rounds)
	for _, c := range contenders {
		fmt.Fprintf(w, "  (%s) %s: %s\n", c.letter, c.name, c.says)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "callers\tcontender\ttransfers/s\t(low-high)\tof file\tof peer\tof floor\tof evidence\tp50 us\tp99 us\tCPU us\t")
	for _, x := range r.Transfers {
		fmt.Fprintf(t, "%d\t%s\t%.0f\t(%.0f-%.0f)\t%s\t%s\t%s\t%s\t%.0f\t%s\t%s\t\n", x.Callers, x.Contender, x.Rate.Median, x.Rate.Low, x.Rate.High,
			ratio(x.OfFile), ratio(x.OfPeer), ratio(x.OfFloor), ratio(x.OfSealed), x.P50.Median, known("%.0f", x.P99), known("%.1f", x.CPU))
	}
	t.Flush()
	fmt.Fprintln(w)
}

// known shows the median, or that it was not measured.
func known(format string, s spread) string {
	if s == (spread{}) {
		return "-"
	}
	return fmt.Sprintf(format, s.Median)
}

func ratio(s *spread) string {
	if s == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f (%.2f-%.2f)", s.Median, s.Low, s.High)
}

func (r *report) showGoals(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "figure\tmeasured\tgoal\t")
	for _, g := range r.Goals {
		sign, met := "<=", "missed"
		if g.AtLeast {
			sign = ">="
		}
		if g.Met {
			met = "met"
		}
		fmt.Fprintf(t, "%s\t%s %s\t%s %s\t%s\n", g.Name, figure(g.Value), g.Unit, sign, figure(g.Goal), met)
	}
	t.Flush()
	fmt.Fprintln(w)
}

// figure shows three digits at least, and no fraction of what is large.
func figure(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 0.01:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.6f", v)
}
