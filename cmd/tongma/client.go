package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/switch/api"
)

const (
	maxAnswer    = 256 << 20 // bytes of an answer that a client reads
	operatorName = "operator"
)

// target is which running switch a client command talks to, and as whom. An
// explicit flag goes before the environment. A target that was named and is not
// there is an error, never another target, and so is none.
type target struct {
	data      string
	url       string
	tokenFile string
	as        string
	must      bool // it moves a participant's money: as says whose
	plain     bool
	timeout   time.Duration
}

func (t *target) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&t.data, "data", "", "data folder of the running switch; TONGMA_DATA")
	f.StringVar(&t.url, "url", "", "its HTTP door, instead of the one that the data folder names; several with commas where switches stand by; TONGMA_URL")
	f.StringVar(&t.tokenFile, "token-file", "", "file with the bearer token; TONGMA_TOKEN_FILE; default: of the data folder")
	f.BoolVar(&t.plain, "plain-http", false, "send the token without TLS to another machine")
	f.DurationVar(&t.timeout, "timeout", 30*time.Second, "how long to wait, all in all")
	_ = cmd.MarkFlagDirname("data")
}

// patience changes how long a command waits if it is not told.
func patience(cmd *cobra.Command, d time.Duration) {
	f := cmd.Flags().Lookup("timeout")
	f.DefValue = d.String()
	_ = f.Value.Set(f.DefValue) // a duration's own text can be read back
}

// asFlag lets the command act as a participant; required for what moves a
// participant's money.
func (t *target) asFlag(cmd *cobra.Command, required bool) {
	usage := "participant to act as"
	if !required {
		usage += "; default: the operator"
	}
	cmd.Flags().StringVar(&t.as, "as", "", usage)
	if required {
		t.must = true
		require(cmd, "as")
	}
	_ = cmd.RegisterFlagCompletionFunc("as", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return t.tokens(), cobra.ShellCompDirectiveNoFileComp
	})
}

// tokens names those that the data folder has tokens of, for the shell to offer.
func (t *target) tokens() []string { return tokensIn(cmp.Or(t.data, os.Getenv("TONGMA_DATA"))) }

// client talks to one running switch.
type client struct {
	base  *url.URL
	token string
	agent bool // it is a simulated settlement agent, and no switch
	http  *http.Client
	heard func(bytes int) // of each part of an answer; nil: nobody wants to know
}

// door returns the address that was named, or several with commas between, and the
// data folder, if there is one.
func (a *app) door(t *target) (addresses, dir string, err error) {
	address := cmp.Or(t.url, a.env("TONGMA_URL"))
	if t.data != "" && t.url == "" { // a folder that was named goes before an address from the environment
		address = ""
	}
	dir = cmp.Or(t.data, a.env("TONGMA_DATA"))
	if dir == "" && address == "" {
		return "", "", failf(exitUsage, "no switch was named").then("--data DIR, the data folder of a switch that runs on this machine", "--url URL --token-file FILE, for any other")
	}
	if address == "" {
		node, err := readNodeFile(dir)
		if err != nil {
			return "", "", err
		}
		address = node.HTTP
	}
	return address, dir, nil
}

// connect finds the switch and the token. Nothing is sent yet.
func (a *app) connect(t *target) (*client, error) {
	address, dir, err := a.door(t)
	if err != nil {
		return nil, err
	}
	if t.must && t.as == "" {
		e := failf(exitUsage, "--as is empty: it says whose money is meant")
		if known := tokensIn(dir); len(known) > 0 {
			e.then("there are: " + strings.Join(known, ", "))
		}
		return nil, e
	}
	base, err := firstReady(address, t.plain)
	if err != nil {
		return nil, err
	}
	tokenFile := cmp.Or(t.tokenFile, a.env("TONGMA_TOKEN_FILE"))
	token, err := readToken(tokenFile, dir, t.as)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	return &client{base: base, token: token, http: &http.Client{Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// nodeFile is what a running switch says of itself in its data folder.
type nodeFile struct {
	HTTP    string `json:"http,omitempty"`
	NATS    string `json:"nats,omitempty"`
	ISO8583 string `json:"iso8583,omitempty"`
}

func readNodeFile(dir string) (nodeFile, error) {
	var n nodeFile
	path := filepath.Join(dir, "node.json")
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		e := failf(exitUnreachable, "no switch runs on the data folder %s (there is no %s)", dir, path).then(
			"tongma serve --data "+dir, "or name another one: --data DIR, or --url URL --token-file FILE")
		e.money = tongma.NotMoved.String()
		return n, e
	}
	if err != nil {
		return n, fileError(err)
	}
	if err := json.Unmarshal(data, &n); err != nil {
		return n, failf(exitConfig, "%s is not what a switch writes", path)
	}
	if n.HTTP == "" {
		return n, failf(exitUnreachable, "the switch of %s has no HTTP door", dir).then("tongma serve --http-listen 127.0.0.1:8480")
	}
	return n, nil
}

// firstReady returns the first of several addresses, with commas between, whose
// switch is in office: of those that stand by for each other, one is. If none says
// so it is the first one, whose answer then says why. One address is not asked.
func firstReady(addresses string, plain bool) (first *url.URL, err error) {
	list := strings.Split(addresses, ",")
	var bases []*url.URL
	for _, address := range list {
		base, err := baseURL(strings.TrimSpace(address), plain)
		if err != nil {
			return nil, err
		}
		bases = append(bases, base)
	}
	asking := &http.Client{Timeout: 2 * time.Second}
	for _, base := range bases {
		if len(bases) == 1 {
			break
		}
		res, err := asking.Get(base.JoinPath("readyz").String())
		if err != nil {
			continue
		}
		_ = res.Body.Close()
		if res.StatusCode == http.StatusOK {
			return base, nil
		}
	}
	return bases[0], nil
}

// baseURL checks an address. A token goes over TLS, or stays on this machine.
func baseURL(address string, plain bool) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil {
		return nil, failf(exitUsage, "%q is no address of an HTTP door", clean(address)).then("--url http://127.0.0.1:8480")
	}
	if u.Scheme == "http" && !plain && !loopback(u.Hostname()) {
		return nil, failf(exitNotAllowed, "the token would go to %s in the clear", u.Host).then(
			"use https://", "or, within a network that you trust: --plain-http")
	}
	return u, nil
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// readToken reads a token from a file, or from the data folder.
func readToken(file, dir, as string) (string, error) {
	who := as
	if who == "" {
		who = operatorName
	}
	named := file != ""
	if !named {
		if dir == "" {
			return "", failf(exitUsage, "--url needs the token too: --token-file FILE, or --data DIR")
		}
		if name := strings.TrimPrefix(who, operatorName+"."); name != operatorName && !tongma.ParticipantID(name).Valid() {
			return "", failf(exitUsage, "%q is no participant's name", clean(who))
		}
		file = api.TokenPath(dir, tongma.ParticipantID(who))
	}
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) && !named {
		return "", unknownToken(who, dir, file)
	}
	if err != nil {
		return "", fileError(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 4<<10))
	if err != nil {
		return "", fileError(err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
		return "", failf(exitConfig, "%s holds no token", file)
	}
	return token, nil
}

// unknownToken names the participants that there are tokens of.
func unknownToken(who, dir, file string) error {
	known := tokensIn(dir)
	if len(known) == 0 {
		return failf(exitNotFound, "there is no token: %s", file)
	}
	e := failf(exitNotFound, "%s has no token of %s", dir, clean(who))
	if name, person := strings.CutPrefix(who, operatorName+"."); person {
		var people []string
		for _, k := range known {
			if n, ok := strings.CutPrefix(k, operatorName+"."); ok {
				people = append(people, n)
			}
		}
		if len(people) > 0 {
			e.then("--by " + strings.Join(people, ", or --by "))
		}
		return e.then("to give this person one: tongma operator add " + clean(name) + " --data " + dir)
	}
	if s := nearest(who, known); s != "" {
		e.then("--as " + s)
	}
	return e.then("there are: " + strings.Join(known, ", "))
}

func tokensIn(dir string) []string {
	paths, _ := filepath.Glob(filepath.Join(dir, "creds", "*.token"))
	var names []string
	for _, p := range paths {
		names = append(names, strings.TrimSuffix(filepath.Base(p), ".token"))
	}
	slices.Sort(names)
	return names
}

// reply is what a switch answered.
type reply struct {
	status   int
	body     []byte
	replayed bool
}

// ask sends one request and waits for the answer within ctx. For a request that
// may move money, an error that leaves open whether it arrived says so.
func (c *client) ask(ctx context.Context, method, path, key string, body []byte) (reply, error) {
	if body == nil {
		return c.send(ctx, method, path, key, "", nil)
	}
	return c.send(ctx, method, path, key, "application/json", bytes.NewReader(body))
}

// files are the kinds of answers that are not JSON, and come if they were asked for.
var files = []string{"text/csv", "application/xml", "application/zip"}

// send is ask for a body of any kind.
func (c *client) send(ctx context.Context, method, path, key, kind string, body io.Reader) (reply, error) {
	address, query, _ := strings.Cut(path, "?")
	u := c.base.JoinPath(address)
	u.RawQuery = query
	r, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return reply{}, failf(exitUsage, "%s is no address of an HTTP door", c.base)
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	r.Header.Set("Accept", "application/json, application/problem+json")
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	if key != "" {
		r.Header.Set(tongma.HeaderKey, key)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return reply{}, c.unreachable(ctx, err, method, key)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(&counting{resp.Body, c.heard}, maxAnswer+1))
	if err != nil || len(data) > maxAnswer {
		return reply{}, c.unreachable(ctx, errors.New("the answer ended early or is too long"), method, key)
	}
	if err := c.refused(resp, data, method, key); err != nil {
		return reply{}, err
	}
	return reply{resp.StatusCode, data, resp.Header.Get(tongma.HeaderReplay) == "true"}, nil
}

// counting says how much was read.
type counting struct {
	io.Reader
	heard func(int)
}

// Read implements io.Reader.
func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if c.heard != nil {
		c.heard(n)
	}
	return n, err
}

// refused turns a problem document into an error, and whatever is no answer of a
// switch as well.
func (c *client) refused(resp *http.Response, data []byte, method, key string) error {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if kind == "application/problem+json" {
		if p, err := tongma.ParseProblem(data); err == nil {
			return &problemError{p, p.Err("http")}
		}
		if c.agent {
			return agentError(data)
		}
	}
	if resp.StatusCode >= 300 || (kind != "application/json" && !slices.Contains(files, kind)) {
		return c.unreachable(resp.Request.Context(), fmt.Errorf("HTTP status %d, %s: this is no switch", resp.StatusCode, kind), method, key)
	}
	return nil
}

// unreachable says what is known of the money when no answer came.
func (c *client) unreachable(ctx context.Context, err error, method, key string) error {
	var op *net.OpError
	e := failf(exitUnreachable, "%s: %s", c.base.Host, cause(err))
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		e = failf(exitInterrupted, "interrupted before %s answered", c.base.Host)
	case errors.Is(err, context.DeadlineExceeded):
		e = failf(exitUnreachable, "%s has not answered in time", c.base.Host)
	}
	if method != http.MethodPost {
		return e.then("see whether it runs, and where: tongma status --url " + c.base.String())
	}
	e.money = tongma.MayHaveMoved.String()
	if errors.As(err, &op) && op.Op == "dial" { // nobody heard it
		e.money = tongma.NotMoved.String()
	}
	switch {
	case key != "":
		e.retry = tongma.RetrySameKey
		return e.then("repeat it with --key " + key + ": the answer will be the true one")
	case e.money == tongma.NotMoved.String():
		return e.then("see whether it runs, and where: tongma status --url " + c.base.String())
	}
	return e.then("see how it stands before you repeat it: tongma window ls, tongma participant ls, tongma cap ls")
}

// cause returns what is behind the text that net/http puts around every error,
// which has the whole address in it.
func cause(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return "nobody answers there: connection refused"
	}
	if strings.Contains(err.Error(), "malformed HTTP") {
		return "what answers there does not speak HTTP: it is another door"
	}
	return err.Error()
}

// get asks for JSON into v.
func (c *client) get(ctx context.Context, path string, v any) error {
	r, err := c.ask(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	return c.read(r, v)
}

func (c *client) read(r reply, v any) error {
	if err := json.Unmarshal(r.body, v); err != nil {
		return failf(exitFault, "the answer of %s cannot be read", c.base.Host)
	}
	return nil
}

// within bounds everything that a client command does by --timeout.
func (t *target) within(cmd *cobra.Command) (context.Context, context.CancelFunc, error) {
	if t.timeout <= 0 {
		return nil, nil, failf(exitUsage, "--timeout must be more than zero")
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), t.timeout)
	return ctx, cancel, nil
}

// with connects and calls fn under the command's deadline.
func (a *app) with(cmd *cobra.Command, t *target, fn func(ctx context.Context, c *client) error) error {
	ctx, cancel, err := t.within(cmd)
	if err != nil {
		return err
	}
	defer cancel()
	c, err := a.connect(t)
	if err != nil {
		return err
	}
	defer c.http.CloseIdleConnections()
	return fn(ctx, c)
}
