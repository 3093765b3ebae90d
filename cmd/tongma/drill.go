package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/switch/settle"
)

// drillView is a drill as --json shows it; amounts are in minor units of CNY.
type drillView struct {
	Seed     uint64       `json:"seed"`
	Failed   []string     `json:"failed"`
	State    string       `json:"state"`
	Deferred int          `json:"deferred" doc:"payments that rolled over"`
	TookMs   float64      `json:"took_ms"`
	Audit    bool         `json:"audit_ok"`
	Events   []string     `json:"events"`
	Rows     []drillMoney `json:"participants"`
}

type drillMoney struct {
	Participant string `json:"participant"`
	Failed      bool   `json:"failed,omitempty"`
	Net         int64  `json:"net_minor"`
	Paid        int64  `json:"paid_minor"`
	Prefunding  int64  `json:"prefunding_minor"`
	ForOthers   int64  `json:"for_others_minor"`
	Received    int64  `json:"received_minor"`
	Next        int64  `json:"next_window_minor"`
}

func newDrillCmd(a *app) *cobra.Command {
	var opts settle.DrillOptions
	cmd := &cobra.Command{
		Use:   "drill",
		Short: "Rehearse a default: the largest net debtors of a made-up market cannot pay",
		Example: `  tongma drill
  tongma drill --fail 2 --banks 12 --payments 5000 --seed 7 --json`,
		Long: `A market is made up from the seed, pays, and closes its window. Then the largest net debtors' bank refuses their debits, and
the window is settled by the default rules: prefunding, guarantee line, loss sharing, and the payments that are left roll
over. It runs over real books and a simulated settlement agent behind HTTP, and touches no switch. Exit code 10 says that
the books did not balance, 9 that the window is not settled.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opts.Fail < 1 || opts.Fail > opts.Banks-2 || opts.Banks < 3 || opts.Banks > 26 || opts.Payments < 1 || opts.Payments > 50_000 {
				return failf(exitUsage, "want --banks 3 to 26, --payments 1 to 50000, and --fail 1 or more, but two banks less than there are")
			}
			report, err := settle.Drill(cmd.Context(), opts)
			if err != nil {
				return err
			}
			v := viewDrill(opts.Seed, &report)
			a.print(v, func(w io.Writer) { drawDrill(w, &v) })
			switch {
			case !v.Audit:
				return &exitError{code: exitBooks}
			case v.State != "settled":
				return &exitError{code: exitInconclusive}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.Uint64Var(&opts.Seed, "seed", 42, "of everything that is made up")
	f.IntVar(&opts.Banks, "banks", 8, "3 to 26")
	f.IntVar(&opts.Payments, "payments", 400, "1 to 50000")
	f.IntVar(&opts.Fail, "fail", 1, "how many of the largest net debtors cannot pay")
	return cmd
}

func viewDrill(seed uint64, r *settle.DrillReport) drillView {
	v := drillView{Seed: seed, State: r.After.State.String(), Deferred: r.Deferred, TookMs: float64(r.Took.Microseconds()) / 1000, Audit: r.Audit.OK}
	for _, p := range r.Failed {
		v.Failed = append(v.Failed, string(p))
	}
	for _, e := range r.Events {
		v.Events = append(v.Events, e.String())
	}
	for _, row := range r.Rows {
		v.Rows = append(v.Rows, drillMoney{string(row.Participant), row.Failed, row.Net, row.Paid, row.Prefunding, row.ForOthers, row.Received, row.Next})
	}
	return v
}

func drawDrill(w io.Writer, v *drillView) {
	for _, e := range v.Events {
		fmt.Fprintln(w, "  "+e)
	}
	major := func(minor int64) string { return tongma.Money{Minor: minor, Currency: tongma.CNY}.Decimal() }
	var rows [][]string
	for _, r := range v.Rows {
		note := ""
		if r.Failed {
			note = "failed"
		}
		rows = append(rows, []string{r.Participant, major(r.Net), major(r.Paid), major(r.Prefunding), major(r.ForOthers), major(r.Received), major(r.Next), note})
	}
	fmt.Fprintln(w)
	showTable(w, []column{left("participant"), right("net"), right("paid"), right("of its prefunding"), right("for others"), right("received"), right("in the next window"), left("")}, rows)
	fmt.Fprintf(w, "\n%s in %.1f ms, %s rolled over, audit ok: %v\n", v.State, v.TookMs, counted(v.Deferred, "payment"), v.Audit)
}
