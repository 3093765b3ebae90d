package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/recon"
	"github.com/tongma/tongma/switch/api"
	desk "github.com/tongma/tongma/switch/office"
)

func newReconCmd(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "recon",
		Short: "Hold others' files against the books, and follow what differs",
		Example: `  tongma recon run --agent camt053.xml --from tongbao=tongbao.csv
  tongma recon breaks --state open
  tongma recon resolve brk_0f3a... --how explained --note "their file of the next day has it" --by ann`,
	}, newReconRunCmd(a), newReconBreaksCmd(a), newReconResolveCmd(a))
}

// reconFiles are the files of one run.
type reconFiles struct {
	agent   []string // messages of the settlement agent
	from    []string // PARTICIPANT=FILE
	covers  []string // PARTICIPANT=ANOTHER
	windows []string
}

func newReconRunCmd(a *app) *cobra.Command {
	var ch change
	var in reconFiles
	var asCSV bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Compare files with the journal and with the settlement agent's statement",
		Example: `  tongma recon run --agent camt053.xml --window 12
  tongma recon run --from tongbao=tongbao.csv --from acq-north=north.xml --dry-run
  tongma recon run --from tongbao=tongbao.csv --csv > breaks.csv`,
		Long: `Files of participants are CSV or camt.053, those of the agent camt.053 or camt.054. Without --window a file is about the
windows that its rows name. The same file again finds the same breaks. No money moves. Exit code 8 says that there are
open breaks.

A participant's CSV is UTF-8 with these columns, in this order, no quotes, and every line ended:

  ` + recon.Header + `
  pay_01jd...,SB4711,pay,approved,12.50,CNY,,win_000012,,

kind is pay, transfer, refund or reversal; status approved, declined, reversed or pending; amounts are major units with a
point. Of payment_id and scheme_ref one may be empty, of window and date too; fee and participant may.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ch.named()
			return a.with(cmd, &ch.t, func(ctx context.Context, c *client) error { return a.runRecon(ctx, c, &ch, &in, asCSV) })
		},
	}
	ch.flags(cmd, false)
	f := cmd.Flags()
	f.StringArrayVar(&in.agent, "agent", nil, "message of the settlement agent; may be given several times")
	f.StringArrayVar(&in.from, "from", nil, "PARTICIPANT=FILE; may be given several times")
	f.StringArrayVar(&in.covers, "covers", nil, "PARTICIPANT=ANOTHER: its file is about another one's payments too")
	f.StringArrayVar(&in.windows, "window", nil, "which window the files are about")
	f.BoolVar(&asCSV, "csv", false, "the breaks as CSV on stdout")
	_ = cmd.MarkFlagFilename("agent", "xml")
	a.completeFlag(cmd, "window", &ch.t, windowNames)
	patience(cmd, 20*time.Minute)
	return cmd
}

func (a *app) runRecon(ctx context.Context, c *client, ch *change, in *reconFiles, asCSV bool) error {
	query := url.Values{}
	if ch.dry {
		query.Set("dry_run", "true")
	}
	if asCSV {
		query.Set("format", "csv")
	}
	for _, text := range in.windows {
		id, err := windowArgument(text)
		if err != nil {
			return err
		}
		query.Add("window", id.String())
	}
	for _, pair := range in.covers {
		who, other, ok := strings.Cut(pair, "=")
		if !ok {
			return failf(exitUsage, "--covers %s: want PARTICIPANT=ANOTHER", clean(pair))
		}
		query.Add("covers:"+who, other)
	}
	if asCSV && a.json {
		return failf(exitUsage, "--csv and --json: give one of them")
	}
	parts, total, err := in.parts()
	if err != nil {
		return err
	}
	got, err := c.upload(ctx, "/v1/recon/runs?"+query.Encode(), parts, a.progress("bytes sent:", uint64(total)))
	if err != nil {
		return err
	}
	if asCSV {
		if _, err := a.out.Write(got.body); err != nil || !openBreaks(got.body) {
			return err
		}
		return &exitError{code: exitChecks}
	}
	var report desk.ReconReport
	if err := c.read(got, &report); err != nil {
		return err
	}
	a.print(raw(got.body), func(w io.Writer) {
		if report.DryRun {
			fmt.Fprintln(w, "dry run: nothing was kept; no money moves by this")
		}
		drawRecon(w, &report)
	})
	if report.NothingCompared() {
		return &exitError{code: exitInconclusive, err: errors.New("nothing was compared: all rows are of other windows than --window names"), next: []string{"leave --window out: a file is about the windows that its rows name"}}
	}
	for i := range report.Breaks {
		if report.Breaks[i].Open() {
			return &exitError{code: exitChecks}
		}
	}
	return nil
}

// openBreaks tells whether a list of breaks, as CSV, has one that has not ended.
func openBreaks(list []byte) bool {
	rows, err := csv.NewReader(bytes.NewReader(list)).ReadAll()
	if err != nil || len(rows) == 0 {
		return false
	}
	ended := slices.Index(rows[0], "ended")
	return ended >= 0 && slices.ContainsFunc(rows[1:], func(row []string) bool { return row[ended] == "" })
}

// part is one file of an upload.
type part struct{ name, path string }

// parts names the files as the API wants them, and adds up their sizes.
func (in *reconFiles) parts() (parts []part, total int64, err error) {
	for _, path := range in.agent {
		parts = append(parts, part{"agent", path})
	}
	for _, pair := range in.from {
		who, path, ok := strings.Cut(pair, "=")
		if !ok || !tongma.ParticipantID(who).Valid() {
			return nil, 0, failf(exitUsage, "--from %s: want PARTICIPANT=FILE", clean(pair))
		}
		parts = append(parts, part{"from:" + who, path})
	}
	if len(parts) == 0 {
		return nil, 0, failf(exitUsage, "no file was given").then("--agent FILE, a message of the settlement agent", "--from PARTICIPANT=FILE, a participant's own file")
	}
	for _, p := range parts {
		info, err := os.Stat(p.path)
		if err != nil {
			return nil, 0, fileError(err).then("nothing was sent or compared: name files that are there")
		}
		if info.IsDir() {
			return nil, 0, failf(exitUsage, "%s is a folder, and no file", p.path).then("nothing was sent or compared: name a file of it")
		}
		total += info.Size()
	}
	return parts, total, nil
}

// upload streams files as one form.
func (c *client) upload(ctx context.Context, path string, parts []part, bar *progress) (reply, error) {
	from, to := io.Pipe()
	form := multipart.NewWriter(to)
	sent := make(chan error, 1)
	go func() {
		err := errors.Join(writeParts(form, parts, bar), form.Close())
		_ = to.CloseWithError(err)
		sent <- err
	}()
	got, err := c.send(ctx, http.MethodPost, path, "", form.FormDataContentType(), from)
	_ = from.Close() // an answer before the end of the files ends the sending
	var unread *exitError
	if fault := <-sent; errors.As(fault, &unread) {
		err = unread
	}
	bar.end()
	return got, err
}

// writeParts copies the files into a form. Nobody else uses bar meanwhile.
func writeParts(form *multipart.Writer, parts []part, bar *progress) error {
	at := counter{bar: bar}
	for _, p := range parts {
		f, err := os.Open(p.path)
		if err != nil {
			return fileError(err)
		}
		w, err := form.CreateFormFile(p.name, filepath.Base(p.path))
		if err == nil {
			_, err = io.Copy(io.MultiWriter(w, &at), f)
		}
		if bad := (*fs.PathError)(nil); errors.As(err, &bad) { // of the file, not of the sending
			err = fileError(err)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// counter shows how many bytes were written.
type counter struct {
	n   uint64
	bar *progress
}

// Write implements io.Writer.
func (c *counter) Write(b []byte) (int, error) {
	c.n += uint64(len(b))
	c.bar.at(c.n)
	return len(b), nil
}

func drawRecon(w io.Writer, r *desk.ReconReport) {
	for _, in := range r.Inputs {
		who := "the settlement agent"
		if in.Sender != "" {
			who = string(in.Sender)
		}
		note := ""
		if in.Known {
			note = ", seen before"
		}
		if in.Beside > 0 {
			note += fmt.Sprintf(", %d rows of other windows left out", in.Beside)
		}
		fmt.Fprintf(w, "%s, %d rows of %s%s\n", in.Name, in.Rows, who, note)
	}
	if len(r.Unreported) > 0 {
		fmt.Fprintf(w, "not compared: %s, of which the agent has never sent a message\n", strings.Join(r.Unreported, ", "))
	}
	var rows [][]string
	for _, t := range r.Tallies {
		rows = append(rows, []string{t.Side, string(t.Participant), fmt.Sprint(t.Book), t.Currency, count(t.Total), count(t.Matched), count(t.Differing), count(t.Alone), count(t.Duplicate)})
	}
	fmt.Fprintln(w)
	showTable(w, []column{left("side"), left("participant"), left("rows of"), left(""), right("all"), right("matched"), right("differing"), right("alone"), right("twice")}, rows)
	fmt.Fprintf(w, "\nbreaks: %d new, %d seen before, %d ended by this run\n", r.New, r.Seen, r.Ended)
	drawBreaks(w, r.Breaks, r.AsOf)
}

func count(s recon.Sum) string { return strconv.FormatInt(s.Count, 10) }

func drawBreaks(w io.Writer, list []recon.Break, asOf time.Time) {
	if len(list) == 0 {
		return
	}
	table := desk.BreakTable(list, asOf)
	columns := make([]column, len(table[0]))
	for i, name := range table[0] {
		columns[i] = column{name, name == "at risk" || name == "age"}
	}
	showTable(w, columns, table[1:])
}

func newReconBreaksCmd(a *app) *cobra.Command {
	var t target
	filter := map[string]*string{}
	var atLeast, age, limit int
	var asCSV bool
	cmd := &cobra.Command{
		Use:   "breaks",
		Short: "List what differs between the books and others', oldest first",
		Example: `  tongma recon breaks --state open
  tongma recon breaks --owner agent --json | jq '.breaks[].at_risk'`,
		Long: "Each break has an owner, an age and the money at risk. It is never edited: what ends it is written beside it.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{"limit": {strconv.Itoa(limit)}}
			for name, value := range filter {
				if *value != "" {
					query.Set(name, *value)
				}
			}
			if atLeast > 0 {
				query.Set("at_risk_minor", strconv.Itoa(atLeast))
			}
			if age > 0 {
				query.Set("age_hours", strconv.Itoa(age))
			}
			if asCSV && a.json {
				return failf(exitUsage, "--csv and --json: give one of them")
			}
			if asCSV {
				query.Set("format", "csv")
			}
			return a.with(cmd, &t, func(ctx context.Context, c *client) error { return a.showBreaks(ctx, c, query, asCSV) })
		},
	}
	t.flags(cmd)
	f := cmd.Flags()
	for _, row := range []struct{ name, usage string }{{"state", "open or ended; default: both"}, {"kind", "kind of break"}, {"owner", "switch, participant or agent"},
		{"participant", "whose"}, {"window", "of which window"}, {"payment", "about which payment"}, {"currency", "of the money at risk"}} {
		filter[row.name] = f.String(row.name, "", row.usage)
	}
	a.completeFlag(cmd, "participant", &t, participantNames)
	a.completeFlag(cmd, "window", &t, windowNames)
	completeCurrency(cmd)
	var kinds []string
	for k := recon.Kind(1); k != 0; k++ {
		if name := k.String(); name != recon.Kind(0).String() {
			kinds = append(kinds, name)
		}
	}
	choices(cmd, "kind", kinds...)
	choices(cmd, "state", "open", "ended")
	choices(cmd, "owner", "switch", "participant", "agent")
	f.IntVar(&atLeast, "at-risk-minor", 0, "at least so much at risk, in minor units")
	f.IntVar(&age, "age-hours", 0, "open for at least so long")
	f.IntVar(&limit, "limit", 100, "how many at most, 1 to 10000")
	f.BoolVar(&asCSV, "csv", false, "CSV on stdout")
	return cmd
}

func (a *app) showBreaks(ctx context.Context, c *client, query url.Values, asCSV bool) error {
	got, err := c.ask(ctx, http.MethodGet, "/v1/recon/breaks?"+query.Encode(), "", nil)
	if err != nil {
		return err
	}
	if asCSV {
		_, err := a.out.Write(got.body)
		return err
	}
	var list api.BreakList
	if err := c.read(got, &list); err != nil {
		return err
	}
	a.print(raw(got.body), func(w io.Writer) {
		if drawBreaks(w, list.Breaks, list.AsOf); len(list.Breaks) == 0 {
			fmt.Fprintln(w, "no breaks")
		}
	})
	return nil
}

func newReconResolveCmd(a *app) *cobra.Command {
	var ch change
	var body api.ResolveBody
	cmd := &cobra.Command{
		Use:     "resolve BREAK",
		Short:   "End a break, for good",
		Example: `  tongma recon resolve brk_0f3a... --how corrected --entry 40312 --note "reversed by hand" --by ann`,
		Long:    "It moves no money: the journal entry that does is named. The same difference found again is another break.",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return ch.run(cmd, a, "/v1/recon/breaks/"+url.PathEscape(args[0])+"/resolve", body, func(c *client, got reply) error {
				var b recon.Break
				if err := c.read(got, &b); err != nil {
					return err
				}
				a.print(raw(got.body), func(w io.Writer) {
					drawBreaks(w, []recon.Break{b}, time.Now())
					if ch.dry {
						fmt.Fprintln(w, "dry run: nothing was written, and the break stands as it did")
					} else {
						fmt.Fprintf(w, "ended by %s: %s; no money moves by this\n", clean(b.Resolution.By), clean(b.Resolution.Reason))
					}
				})
				return nil
			})
		},
	}
	ch.flags(cmd, false)
	a.completeBreaks(cmd, &ch.t)
	choices(cmd, "how", "corrected", "explained", "written-off")
	cmd.Flags().StringVar(&body.How, "how", "", "corrected, explained or written-off")
	cmd.Flags().Uint64Var(&body.Entry, "entry", 0, "corrected: the journal entry that put it right")
	cmd.Flags().StringVar(&body.Note, "note", "", "one line: why")
	require(cmd, "how", "note")
	return cmd
}
