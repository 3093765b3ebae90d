package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/switch/api"
)

// statusView is what `tongma status --json` prints.
type statusView struct {
	Switches []switchView `json:"switches"`
	Writer   *api.Status  `json:"writer,omitempty"` // absent if none is in office, or does not let us ask
}

// switchView is one switch of those that were named.
type switchView struct {
	URL        string            `json:"url"`
	Role       string            `json:"role"`   // writer, standby, unfit, starting, or unreachable
	Health     string            `json:"health"` // of a writer: ok, degraded or failed
	Checks     []api.HealthCheck `json:"checks,omitempty"`
	Epoch      uint64            `json:"epoch,omitempty"`       // of the writer that a standby follows
	LagEntries uint64            `json:"lag_entries,omitempty"` // of a standby
	Detail     string            `json:"detail,omitempty"`
}

func newStatusCmd(a *app) *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:   "status",
		Short: "See how the switch stands: who writes, who stands by, and what waits",
		Example: `  tongma status --data tongma-data
  tongma status --url https://one:8480,https://two:8480 --token-file operator.token --json`,
		Long: "For the operator. Exit code 4 says that no switch is in office, 8 that a check fails or the positions do not add up.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			addresses, _, err := a.door(&t)
			if err != nil {
				return err
			}
			return a.with(cmd, &t, func(ctx context.Context, c *client) error {
				v := statusView{}
				healthy := true
				for address := range strings.SplitSeq(addresses, ",") {
					s := howItStands(ctx, c.http, strings.TrimSpace(address))
					healthy = healthy && s.Health != "failed"
					v.Switches = append(v.Switches, s)
				}
				var now api.Status
				fault := c.get(ctx, "/v1/status", &now)
				if fault == nil {
					v.Writer = &now
				} else if exitCodeOf(fault) == exitNotAllowed {
					return fault
				}
				a.print(v, func(w io.Writer) { a.drawStatus(w, &v) })
				switch {
				case fault != nil:
					return failf(exitUnreachable, "no switch is in office").then("if one was, it is being taken over from: ask again in a few seconds", "tongma serve --data "+cmp.Or(t.data, a.env("TONGMA_DATA"), "DIR"))
				case !healthy || len(now.Unbalanced) > 0:
					return &exitError{code: exitChecks}
				}
				return nil
			})
		},
	}
	t.flags(cmd)
	return cmd
}

// howItStands asks one switch what it is. That needs no token.
func howItStands(ctx context.Context, asking *http.Client, address string) switchView {
	v := switchView{URL: address, Role: "unreachable"}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(address, "/")+"/readyz", nil)
	if err != nil {
		return v
	}
	r.Header.Set("Accept", "application/json")
	res, err := asking.Do(r)
	if err != nil {
		v.Detail = cause(err)
		return v
	}
	defer res.Body.Close()
	var said struct {
		standing // its status is that of a writer's health, too
		Checks   []api.HealthCheck
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, tongma.MaxMessage))
	if err != nil || json.Unmarshal(data, &said) != nil {
		v.Detail = fmt.Sprintf("HTTP status %d: this is no switch", res.StatusCode)
		return v
	}
	if said.Checks == nil { // not in office
		v.Role, v.Epoch, v.LagEntries, v.Detail = cmp.Or(said.Status, "unreachable"), said.Epoch, said.LagEntries, said.Detail
		return v
	}
	v.Role, v.Health, v.Checks = "writer", said.Status, said.Checks
	for _, c := range v.Checks {
		if !c.OK {
			v.Detail = strings.TrimPrefix(v.Detail+"; "+c.Name+" "+c.Detail, "; ")
		}
	}
	return v
}

func (a *app) drawStatus(w io.Writer, v *statusView) {
	var rows [][]string
	for _, s := range v.Switches {
		journal := ""
		switch {
		case s.Role == "writer" && v.Writer != nil:
			journal = fmt.Sprintf("epoch %d, entry %d", v.Writer.Epoch, v.Writer.Entry)
		case s.Epoch > 0:
			journal = fmt.Sprintf("follows epoch %d, %d entries behind", s.Epoch, s.LagEntries)
		}
		rows = append(rows, []string{s.URL, s.Role, s.Health, journal, s.Detail})
	}
	showTable(w, []column{left("switch"), left("role"), left("health"), left("journal"), left("")}, rows)
	n := v.Writer
	if n == nil {
		return
	}
	var states []string
	for _, state := range []string{"open", "closed", "collecting", "paying", "short", "recasting", "settled"} {
		if n.Windows[state] > 0 {
			states = append(states, strconv.Itoa(n.Windows[state])+" "+state)
		}
	}
	add := "add up to zero"
	if len(n.Unbalanced) > 0 {
		add = a.paint(w).red("do NOT add up to zero in " + strings.Join(n.Unbalanced, ", ") + ": tongma audit")
	}
	fmt.Fprintf(w, "\npayments   %d under way, whose end is not known yet\n", n.Unfinished)
	fmt.Fprintf(w, "windows    %s\n", strings.Join(states, ", "))
	if n.Shards > 0 {
		fmt.Fprintf(w, "shard      %d of %d%s\n", n.Shard, n.Shards, map[bool]string{true: ": shard 1 closes and settles the windows of all"}[n.Shard > 1])
	}
	for _, other := range n.Differs {
		fmt.Fprintf(w, "           %s\n", a.paint(w).red(other))
	}
	for _, wait := range n.Awaiting {
		fmt.Fprintf(w, "           %s\n", a.paint(w).red(fmt.Sprintf("%s is not whole: it waits for what shard %s has to hand over; nothing is instructed before", wait.Window, shardList(wait.Shards))))
	}
	for _, wait := range n.Waits {
		fmt.Fprintf(w, "           %s\n", a.paint(w).red(wait))
	}
	fmt.Fprintf(w, "positions  %s\n", add)
	if len(n.Suspended) > 0 {
		fmt.Fprintf(w, "suspended  %s\n", strings.Join(n.Suspended, ", "))
	}
	fmt.Fprintf(w, "directory  version %d; tongma %s%s\n", n.Directory, n.Version, map[bool]string{true: ", sandbox"}[n.Sandbox])
}
