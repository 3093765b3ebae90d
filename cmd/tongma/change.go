package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/switch/api"
	desk "github.com/tongma/tongma/switch/office"
)

// change is a command that writes into the books on somebody's word.
type change struct {
	t   target
	by  string // who: the holder of a named operator's token
	key string
	dry bool
}

// flags adds --by, --dry-run and, for what is done once under a key, --key.
func (ch *change) flags(cmd *cobra.Command, keyed bool) {
	ch.t.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&ch.by, "by", "", "operator whose word it is: one with a token of its own (tongma operator add)")
	f.BoolVar(&ch.dry, "dry-run", false, "only say what would be done")
	if keyed {
		f.StringVar(&ch.key, "key", "", "key under which it is done once; default: a new one, which is printed")
	}
	_ = cmd.RegisterFlagCompletionFunc("by", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var names []string
		for _, name := range ch.t.tokens() {
			if n, ok := strings.CutPrefix(name, operatorName+"."); ok {
				names = append(names, n)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
}

// run sends the change. A key that was not given is made, and told before it is
// sent, so that the change can be repeated whatever happens.
func (ch *change) run(cmd *cobra.Command, a *app, path string, body any, fn func(c *client, got reply) error) error {
	ch.named()
	tell := false
	if f := cmd.Flags().Lookup("key"); f != nil && ch.key == "" {
		ch.key, tell = uuid.Must(uuid.NewV7()).String(), !ch.dry
	}
	return a.with(cmd, &ch.t, func(ctx context.Context, c *client) error {
		if tell {
			a.say("key %s", ch.key)
		}
		data := []byte("{}")
		if body != nil {
			var err error
			if data, err = json.Marshal(body); err != nil {
				return err
			}
		}
		got, err := c.ask(ctx, http.MethodPost, ch.dryPath(path), ch.key, data)
		if err != nil {
			return err
		}
		return fn(c, got)
	})
}

// named has the command sent with the token of whoever --by names.
func (ch *change) named() {
	if ch.by != "" {
		ch.t.as = operatorName + "." + ch.by
	}
}

func (ch *change) dryPath(path string) string {
	if !ch.dry {
		return path
	}
	if strings.Contains(path, "?") {
		return path + "&dry_run=true"
	}
	return path + "?dry_run=true"
}

// do sends a change of the office and shows what was done.
func (ch *change) do(cmd *cobra.Command, a *app, path string, body any) error {
	return ch.run(cmd, a, path, body, func(c *client, got reply) error {
		var done desk.Done
		if err := c.read(got, &done); err != nil {
			return err
		}
		a.print(raw(got.body), func(w io.Writer) { drawDone(w, &done) })
		return nil
	})
}

func drawDone(w io.Writer, d *desk.Done) {
	switch {
	case d.DryRun && d.Exists:
		fmt.Fprintln(w, "dry run: nothing would be written, it stands already")
	case d.DryRun:
		fmt.Fprintln(w, "dry run:", d.Money)
	case d.Entry != 0:
		fmt.Fprintf(w, "journal entry %d at %s: %s\n", d.Entry, d.At.Format(time.RFC3339), d.Money)
	default:
		fmt.Fprintln(w, d.Money)
	}
}

// sumOf reads an amount of major units that may be zero, as a cap's. An error names
// the flag that it came from.
func sumOf(flag, amount, currency string) (tongma.Money, error) {
	c, err := currencyOf(currency)
	if err != nil {
		return tongma.Money{}, err
	}
	m, err := tongma.ParseMoney(amount, c)
	return m, ofFlag(flag, amount, err)
}

// positiveOf reads an amount of major units that is more than zero.
func positiveOf(flag, amount, currency string) (tongma.Money, error) {
	m, err := sumOf(flag, amount, currency)
	if err == nil && m.Minor == 0 {
		err = failf(exitUsage, "%s: an amount of %s moves nothing: it must be more than zero", flag, m)
	}
	return m, err
}

// ofFlag gives what is wrong with an amount its place, and says it in the words of
// whoever typed it.
func ofFlag(flag, amount string, err error) error {
	var e *tongma.Error
	if !errors.As(err, &e) {
		return err
	}
	named := *e
	named.Field = flag
	switch {
	case strings.HasPrefix(amount, "-"):
		named.Detail = "less than zero"
	case strings.Contains(amount, ","):
		named.Detail = "write it with a point before the decimals and nothing else: 1250.00"
	}
	return &named
}

// participantPath is an address below a participant's.
func participantPath(id, what string) (string, error) {
	if !tongma.ParticipantID(id).Valid() {
		return "", failf(exitUsage, "%q is no participant's name", clean(id))
	}
	return "/v1/participants/" + url.PathEscape(id) + "/" + what, nil
}

func newOperatorCmd(a *app) *cobra.Command {
	var data string
	add := &cobra.Command{
		Use:     "add NAME",
		Short:   "Give a person that works for the operator a token of its own",
		Example: `  tongma operator add ann --data DIR`,
		Long: `What takes two people, such as another cap, takes two names: each with a token, creds/operator.NAME.token of the data
folder. A running switch knows it a moment later, and no longer when the file is removed. Where switches stand by for each
other, each has a folder of its own: copy the file there.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := cmp.Or(data, a.env("TONGMA_DATA"))
			if dir == "" {
				return failf(exitUsage, "no data folder was named").then("--data DIR, the data folder of the switch; TONGMA_DATA")
			}
			path, err := api.AddOperator(dir, args[0])
			if errors.Is(err, os.ErrPermission) {
				return fileError(err)
			}
			if err != nil {
				return &exitError{code: exitUsage, err: err}
			}
			if exists(filepath.Join(dir, "node.json")) {
				a.say("the switch that runs on %s knows %s from now on", dir, args[0])
			}
			a.print(struct {
				Name string `json:"name"`
				Path string `json:"path"`
			}{args[0], path}, func(w io.Writer) { fmt.Fprintln(w, path) })
			return nil
		},
	}
	add.Flags().StringVar(&data, "data", "", "data folder of the switch; TONGMA_DATA")
	_ = add.MarkFlagDirname("data")
	return group(&cobra.Command{Use: "operator", Short: "Name the people that work for the operator", Example: "  tongma operator add ann --data DIR"}, add)
}
