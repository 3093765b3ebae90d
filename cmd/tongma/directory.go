package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/codespec"
	"github.com/tongma/tongma/schemes"
)

func newDirectoryCmd(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "directory",
		Short: "Check and show who takes part, and try who a code would go to",
		Example: `  tongma directory init --out market.yaml
  tongma directory validate market.yaml
  tongma directory show --file market.yaml
  tongma directory route 281512345678901234 --as acq-north`,
	}, newDirectoryInitCmd(a), newDirectoryValidateCmd(a), newDirectoryShowCmd(a), newDirectoryRouteCmd(a))
}

// directoryFault is one thing wrong with a directory's source.
type directoryFault struct {
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Path    string `json:"path,omitempty"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Meant   string `json:"meant,omitempty"`
}

func newDirectoryValidateCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:        "validate FILE",
		SuggestFor: []string{"check"},
		Short:      "Check a directory's YAML, and say what is wrong and on which line",
		Example: `  tongma directory init --out market.yaml
  tongma directory validate market.yaml
  tongma directory validate market.yaml --json`,
		Long: "Exit code 3 if anything is wrong; stdout says what.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := a.directory(args[0])
			result := struct {
				Valid        bool             `json:"valid"`
				Participants int              `json:"participants"`
				Schemes      int              `json:"schemes"`
				Hash         string           `json:"hash,omitempty"`
				Faults       []directoryFault `json:"faults"`
			}{Faults: []directoryFault{}}
			var parse *schemes.ParseError
			switch {
			case errors.As(err, &parse):
				for _, p := range parse.Problems {
					result.Faults = append(result.Faults, directoryFault{p.Line, p.Column, p.Path, p.Reason.Code(), p.Message, p.Suggestion})
				}
			case err != nil:
				return err
			default:
				hash := d.Hash()
				result.Valid, result.Participants, result.Schemes, result.Hash = true, len(d.Participants()), len(d.Schemes()), hex.EncodeToString(hash[:])
			}
			a.print(result, func(w io.Writer) {
				p := a.paint(w)
				if result.Valid {
					fmt.Fprintf(w, "%s %d participants, %d schemes\n", p.green("✓"), result.Participants, result.Schemes)
					return
				}
				for _, problem := range parse.Problems {
					fmt.Fprintln(w, p.red("✗")+" "+clean(args[0]+": "+problem.String()))
				}
			})
			if !result.Valid {
				return &exitError{code: exitConfig}
			}
			return nil
		},
	}
}

// directory reads a directory from a file; no name means the built-in sandbox.
func (a *app) directory(file string) (*schemes.Directory, error) {
	source := schemes.Sandbox()
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fileError(err)
		}
		defer f.Close()
		if source, err = io.ReadAll(io.LimitReader(f, schemes.MaxSource+1)); err != nil {
			return nil, fileError(err)
		}
	}
	return schemes.Parse(1, source)
}

// goodDirectory is directory for commands that need a valid one.
func (a *app) goodDirectory(file string) (*schemes.Directory, error) {
	d, err := a.directory(file)
	return d, directoryError(file, err)
}

// directoryError lists all that is wrong with a directory, one a line, each with the
// file and the line in it.
func directoryError(file string, err error) error {
	var parse *schemes.ParseError
	if !errors.As(err, &parse) {
		return err
	}
	lines := make([]string, len(parse.Problems))
	for i, p := range parse.Problems {
		lines[i] = file + ": " + p.String()
	}
	return &exitError{code: exitConfig, err: errors.New(strings.Join(lines, "\n")), next: []string{"tongma directory validate " + file}}
}

type participantDoc struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Country     string   `json:"country,omitempty"`
	Currencies  []string `json:"currencies"`
	AcquirerIDs []string `json:"acquirer_ids"`
	IssuerCode  string   `json:"issuer_code,omitempty"`
}

type schemeDoc struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Participant string   `json:"participant"`
	Countries   []string `json:"countries"`
	Currencies  []string `json:"currencies"`
}

func newDirectoryShowCmd(a *app) *cobra.Command {
	var file string
	var source bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "List the participants and schemes of a directory",
		Example: `  tongma directory show                       the sandbox's
  tongma directory show --source > market.yaml    to start one's own from
  tongma directory show --file market.yaml --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := a.goodDirectory(file)
			if err != nil {
				return err
			}
			if source && !a.json {
				_, err := a.out.Write(d.Source())
				return err
			}
			a.showDirectory(d)
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "directory's YAML; default: the built-in sandbox")
	cmd.Flags().BoolVar(&source, "source", false, "write the YAML itself")
	return cmd
}

func (a *app) showDirectory(d *schemes.Directory) {
	doc := struct {
		Name         string           `json:"name"`
		Participants []participantDoc `json:"participants"`
		Schemes      []schemeDoc      `json:"schemes"`
	}{Name: d.Name()}
	var people, networks [][]string
	for _, p := range d.Participants() {
		e := participantDoc{ID: string(p.ID), Name: p.Name, Country: p.Country, Currencies: []string{}, AcquirerIDs: append([]string{}, p.AcquirerIDs...), IssuerCode: p.IssuerCode}
		for _, c := range tongma.Currencies() {
			if _, ok := p.Caps[c]; ok {
				e.Currencies = append(e.Currencies, c.Code())
			}
		}
		doc.Participants = append(doc.Participants, e)
		people = append(people, []string{e.ID, e.Country, e.IssuerCode, strings.Join(e.AcquirerIDs, " "), strings.Join(e.Currencies, " "), e.Name})
	}
	for _, s := range d.Schemes() {
		e := schemeDoc{ID: string(s.ID), Name: s.Name, Participant: string(s.Participant), Countries: append([]string{}, s.Countries...), Currencies: []string{}}
		for _, c := range s.Currencies {
			e.Currencies = append(e.Currencies, c.Code())
		}
		doc.Schemes = append(doc.Schemes, e)
		countries := strings.Join(e.Countries, " ")
		if countries == "" {
			countries = "all"
		}
		networks = append(networks, []string{e.ID, e.Participant, countries, strings.Join(e.Currencies, " "), e.Name})
	}
	a.print(doc, func(w io.Writer) {
		showTable(w, []column{left("participant"), left("in"), left("number"), left("acquirer ids"), left("accounts"), left("name")}, people)
		fmt.Fprintln(w)
		showTable(w, []column{left("scheme"), left("participant"), left("pays in"), left("currencies"), left("name")}, networks)
	})
}

// newDirectoryRouteCmd says where a code would go and why nowhere else.
func newDirectoryRouteCmd(a *app) *cobra.Command {
	var file, as, amount, currency string
	cmd := &cobra.Command{
		Use:   "route CODE",
		Short: "Say which schemes a code could be paid through, and why not the others",
		Example: `  tongma directory route 281512345678901234 --as acq-north
  tongma directory route - --as tongbao --amount 12.50 --currency CNY < code.txt`,
		Long: `It asks no running switch: the directory and the code decide. A payer's code is seen from its acquirer,
a merchant's code from the payer's wallet. Exit code 8 if no scheme can be used.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := a.goodDirectory(file)
			if err != nil {
				return err
			}
			if _, ok := d.Participant(tongma.ParticipantID(as)); !ok {
				return unknownParticipant(d, as)
			}
			q := schemes.Query{Asker: tongma.ParticipantID(as), Op: tongma.OpPay}
			if amount != "" {
				c, err := currencyOf(currency)
				if err != nil {
					return err
				}
				if q.Amount, err = amountOf(amount, c); err != nil {
					return err
				}
			}
			text, err := a.codeArgument(args)
			if err != nil {
				return err
			}
			code, err := d.Decode(text)
			if err != nil {
				return failf(exitChecks, "the code cannot be read: %s", err.Error())
			}
			if code.Presentation == codespec.Merchant {
				q.Op = tongma.OpTransfer
			}
			return a.showRoute(d.Explain(code, q))
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "file", "", "directory's YAML; default: the built-in sandbox")
	f.StringVar(&as, "as", "", "participant that scans")
	f.StringVar(&amount, "amount", "", "amount in major units")
	f.StringVar(&currency, "currency", "", "ISO 4217 currency")
	completeCurrency(cmd)
	require(cmd, "as")
	cmd.MarkFlagsRequiredTogether("amount", "currency")
	return cmd
}

func unknownParticipant(d *schemes.Directory, as string) error {
	var names []string
	for _, p := range d.Participants() {
		names = append(names, string(p.ID))
	}
	e := failf(exitNotFound, "the directory has no participant %q", clean(as))
	if s := nearest(as, names); s != "" {
		e.then("--as " + s)
	}
	return e.then("there are: " + strings.Join(names, ", "))
}

type routeDoc struct {
	Refusal    string     `json:"refusal,omitempty"`
	Reason     string     `json:"reason_name,omitempty"`
	Detail     string     `json:"detail,omitempty"`
	Candidates []routeWay `json:"candidates"`
	Tried      []routeWay `json:"tried"`
}

type routeWay struct {
	Scheme      string `json:"scheme"`
	Participant string `json:"participant,omitempty"`
	Rule        string `json:"rule"`
	Path        string `json:"path,omitempty"`
	Consult     bool   `json:"consult,omitempty"`
	Code        string `json:"code,omitempty"`
	Why         string `json:"why,omitempty"`
}

func (a *app) showRoute(r schemes.Resolution) error {
	doc := routeDoc{Detail: r.Detail, Candidates: []routeWay{}, Tried: []routeWay{}}
	if r.Refusal != tongma.NoReason {
		doc.Refusal, doc.Reason = r.Refusal.Code(), r.Refusal.String()
	}
	var rows [][]string
	for _, c := range r.Candidates {
		doc.Candidates = append(doc.Candidates, routeWay{Scheme: string(c.Scheme), Participant: string(c.Participant), Rule: c.Rule, Path: c.Path, Consult: c.Consult})
		note := ""
		if c.Consult {
			note = "the scheme is asked"
		}
		rows = append(rows, []string{"✓", string(c.Scheme), string(c.Participant), c.Rule, c.Path, note})
	}
	for _, t := range r.Tried {
		doc.Tried = append(doc.Tried, routeWay{Scheme: t.Scheme, Rule: t.Rule, Path: t.Path, Code: t.Reason.Code(), Why: t.Why})
		rows = append(rows, []string{"✗", t.Scheme, "", t.Rule, t.Path, t.Reason.Code() + " " + t.Why})
	}
	a.print(doc, func(w io.Writer) {
		if r.Refusal != tongma.NoReason {
			fmt.Fprintln(w, a.paint(w).red("✗")+" "+a.paint(w).bold(doc.Refusal+"  "+r.Refusal.Info().Title))
			field(w, "Why", r.Detail)
		}
		if len(rows) > 0 {
			showTable(w, []column{left(""), left("scheme"), left("participant"), left("rule"), left("at"), left("")}, rows)
		}
	})
	if r.Refusal != tongma.NoReason {
		return &exitError{code: exitChecks}
	}
	return nil
}
