package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/agentsim"
)

// simTarget is which simulated agent a command talks to: the one that runs on a
// folder.
type simTarget struct{ data string }

func (s *simTarget) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.data, "data", "", "folder of the simulated agent; the sandbox's is DIR/agent/ID of the switch's folder")
	require(cmd, "data")
	_ = cmd.MarkFlagDirname("data")
}

// ask puts a question to the agent, with one of its two tokens.
func (s *simTarget) ask(ctx context.Context, a *app, token, method, path string, body any) (reply, error) {
	t := target{data: s.data, tokenFile: filepath.Join(s.data, "creds", token+".token"), timeout: 30 * time.Second}
	if path := filepath.Join(s.data, "node.json"); !exists(path) {
		return reply{}, failf(exitUnreachable, "no simulated agent runs on the folder %s (there is no %s)", s.data, path).then(
			"that of a sandbox is in its data folder: --data DIR/agent/sandbox-agent", "tongma sim agent --data "+s.data+", for one of its own")
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	c, err := a.connect(&t)
	if err != nil {
		return reply{}, err
	}
	defer c.http.CloseIdleConnections()
	c.agent = true
	var data []byte
	if body != nil {
		if data, err = json.Marshal(body); err != nil {
			return reply{}, err
		}
	}
	return c.ask(ctx, method, path, "", data)
}

// agentError is what a simulated agent refuses with. The reason is one of the catalogue,
// but what the catalogue advises is about switches.
func agentError(problem []byte) error {
	var p struct {
		Reason string `json:"reason"`
		Detail string `json:"detail"`
	}
	_ = json.Unmarshal(problem, &p) // what is not there stays empty: an unknown reason
	reason, _ := tongma.ParseReason(p.Reason)
	e := failf(exitOfReason(reason), "the simulated agent refuses: %s", clean(p.Detail))
	e.money = tongma.NotMoved.String()
	if reason == tongma.NoAccount {
		e.then("its accounts: tongma sim accounts --data DIR")
	}
	return e
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// accounts asks for those that the agent keeps.
func (s *simTarget) accounts(ctx context.Context, a *app) (list []agentsim.Account, got reply, err error) {
	if got, err = s.ask(ctx, a, "admin", http.MethodGet, "/admin/accounts", nil); err != nil {
		return nil, got, err
	}
	if err := json.Unmarshal(got.body, &list); err != nil {
		return nil, got, failf(exitFault, "the agent's answer cannot be read")
	}
	return list, got, nil
}

// has refuses an account that the agent does not keep: a fault in it would never strike.
func (s *simTarget) has(ctx context.Context, a *app, account string) error {
	list, _, err := s.accounts(ctx, a)
	if err != nil || slices.ContainsFunc(list, func(x agentsim.Account) bool { return x.ID == account }) {
		return err
	}
	var ids []string
	for _, x := range list {
		ids = append(ids, x.ID)
	}
	e := failf(exitNotFound, "the agent keeps no account %q", clean(account))
	if near := nearest(account, ids); near != "" {
		e.then("--account " + near)
	}
	return e.then("tongma sim accounts --data " + s.data)
}

// print shows an answer of the agent as it is.
func (s *simTarget) print(a *app, got reply) {
	a.print(raw(got.body), func(w io.Writer) { _, _ = w.Write(got.body) })
}

func newSimAccountsCmd(a *app) *cobra.Command {
	var s simTarget
	cmd := &cobra.Command{
		Use:     "accounts",
		Short:   "List the accounts of a simulated settlement agent",
		Example: "  tongma sim accounts --data market/agent/sandbox-agent",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, got, err := s.accounts(cmd.Context(), a)
			if err != nil {
				return err
			}
			a.print(raw(got.body), func(w io.Writer) {
				rows := make([][]string, len(list))
				for i, x := range list {
					rows[i] = []string{x.ID, string(x.Kind), x.Owner, minor(x.Code)(x.Balance), x.Code}
				}
				showTable(w, []column{left("account"), left("kind"), left("owner"), right("balance"), left("")}, rows)
			})
			return nil
		},
	}
	s.flags(cmd)
	return cmd
}

func newSimFaultCmd(a *app) *cobra.Command {
	var s simTarget
	var f agentsim.Fault
	cmd := &cobra.Command{
		Use:   "fault KIND|none",
		Short: "Plant a fault in a simulated settlement agent, or take all away",
		Example: `  tongma sim fault reject --account TONGBAO/156 --times 3 --data market/agent/sandbox-agent
  tongma sim fault partial --account TONGBAO/156 --data market/agent/sandbox-agent
  tongma sim fault none --data market/agent/sandbox-agent`,
		Long: `Of orders: reject, partial, late, never, silent, deaf, double, wrong-amount, late-value; each strikes the next --times
instructions that touch the account. Of statements, until taken away: statement-late, statement-missing, statement-twice.`,
		Args:      cobra.ExactArgs(1),
		ValidArgs: []string{"none", "reject", "partial", "late", "never", "silent", "deaf", "double", "wrong-amount", "late-value", "statement-late", "statement-missing", "statement-twice"},
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.Account != "" {
				if err := s.has(cmd.Context(), a, f.Account); err != nil {
					return err
				}
			}
			method, body := http.MethodPost, any(&f)
			if f.Kind = agentsim.FaultKind(args[0]); args[0] == "none" {
				method, body = http.MethodDelete, nil
			}
			got, err := s.ask(cmd.Context(), a, "admin", method, "/admin/faults", body)
			if err == nil {
				s.print(a, got)
			}
			return err
		},
	}
	s.flags(cmd)
	cmd.Flags().StringVar(&f.Account, "account", "", "which account; default: any")
	cmd.Flags().IntVar(&f.Times, "times", 1, "how often")
	cmd.Flags().StringVar(&f.Code, "code", "", "reject: the reason's code of ISO 20022; default AM04, insufficient funds")
	cmd.Flags().Int64Var(&f.Minor, "amount-minor", 0, "partial: how much is booked; wrong-amount: how much more")
	cmd.Flags().Int64Var(&f.DelayMillis, "delay-millis", 0, "late, silent, statement-late: after how long")
	cmd.Flags().IntVar(&f.Days, "days", 0, "late-value: by how many days")
	return cmd
}

func newSimFundCmd(a *app) *cobra.Command {
	var s simTarget
	var amount, currency string
	cmd := &cobra.Command{
		Use:     "fund ACCOUNT",
		Short:   "Pay money into an account of a simulated settlement agent",
		Example: "  tongma sim fund TONGBAO/156 --amount 1000.00 --currency CNY --data market/agent/sandbox-agent",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := sumOf("--amount", amount, currency)
			if err != nil {
				return err
			}
			got, err := s.ask(cmd.Context(), a, "admin", http.MethodPost, "/admin/fund", map[string]any{"key": uuid.Must(uuid.NewV7()).String(),
				"account": args[0], "currency": m.Currency.Code(), "amount_minor": m.Minor})
			if err == nil {
				a.print(raw(got.body), func(w io.Writer) { fmt.Fprintf(w, "%s paid into %s\n", m, args[0]) })
			}
			return err
		},
	}
	s.flags(cmd)
	cmd.Flags().StringVar(&amount, "amount", "", "in major units")
	cmd.Flags().StringVar(&currency, "currency", "", "ISO 4217")
	require(cmd, "amount", "currency")
	completeCurrency(cmd)
	return cmd
}

func newSimStatementCmd(a *app) *cobra.Command {
	var s simTarget
	var currency string
	cmd := &cobra.Command{
		Use:     "statement ACCOUNT DAY",
		Short:   "Get an account's statement of a day, camt.053, from a simulated settlement agent",
		Example: `  tongma sim statement TONGMA/156 2026-11-23 --currency CNY --data market/agent/sandbox-agent > camt053.xml`,
		Long:    "It is what a bank would send for reconciliation: hand it to tongma recon run.",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := currencyOf(currency)
			if err != nil {
				return err
			}
			path := "/v1/statements/" + url.PathEscape(args[0]) + "/" + url.PathEscape(args[1]) + "?currency=" + c.Code()
			got, err := s.ask(cmd.Context(), a, "agent", http.MethodGet, path, nil)
			if err == nil {
				_, err = a.out.Write(got.body)
			}
			return err
		},
	}
	s.flags(cmd)
	cmd.Flags().StringVar(&currency, "currency", "", "ISO 4217")
	require(cmd, "currency")
	completeCurrency(cmd)
	return cmd
}
