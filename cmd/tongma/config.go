package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/tongma/tongma/clearing"
)

// config is what `tongma serve` and `tongma demo` are told. Each setting is a
// flag, an environment variable and a key of a file, in this order of precedence,
// and has a default.
type config struct {
	Data          string
	Directory     string
	ISO8583Listen string
	HTTPListen    string
	NATSListen    string
	TLSCert       string
	TLSKey        string
	WindowEvery   time.Duration
	SettleClosed  bool
	LogLevel      string
	Sandbox       bool

	NATS         string // of somebody else; empty: the embedded one
	NATSCA       string
	NATSJournal  string
	NATSSwitch   string
	NATSSystem   string
	Standby      bool
	AdmitStandby bool
	Replicas     int
	AllowUnseen  bool

	Shard, Shards uint16 // which one this is, from 1, of how many; zero and zero: there is one
}

// setting is one row of the table that flags, environment, file, help and
// validation are all made from.
type setting struct {
	key       string // in the file; TONGMA_KEY in the environment, --key as a flag
	byDefault string
	doc       string
	serveOnly bool // the demo decides it itself
	set       func(c *config, value string) error
}

// boolean tells whether the flag needs no value.
func (s *setting) boolean() bool { return s.byDefault == "true" || s.byDefault == "false" }

var settings = []setting{
	{"data", "", "folder of everything that lasts", false, plain(func(c *config) *string { return &c.Data })},
	{"directory", "", "YAML file of participants and schemes to bring into force; empty keeps what the data folder has", true, plain(func(c *config) *string { return &c.Directory })},
	{"iso8583_listen", "127.0.0.1:8583", "address of the ISO 8583 door; empty for none", false, address(func(c *config) *string { return &c.ISO8583Listen })},
	{"http_listen", "127.0.0.1:8480", "address of the HTTP door and console; empty for none", false, address(func(c *config) *string { return &c.HTTPListen })},
	{"nats_listen", "127.0.0.1:4222", "address of the NATS door", false, address(func(c *config) *string { return &c.NATSListen })},
	{"tls_cert", "", "certificate chain of the NATS door, PEM", true, plain(func(c *config) *string { return &c.TLSCert })},
	{"tls_key", "", "key of that certificate, PEM", true, plain(func(c *config) *string { return &c.TLSKey })},
	{"window_every", "0s", "close the windows that have no schedule this often; 0s leaves it to the operator", true, setWindowEvery},
	{"settle_closed", "false", "have windows settled as soon as their time has closed them", true, yesOrNo(func(c *config) *bool { return &c.SettleClosed })},
	{"log_level", "info", "debug, info, warn or error", true, setLogLevel},
	{"sandbox", "false", "play money: simulated settlement, console without a token", true, yesOrNo(func(c *config) *bool { return &c.Sandbox })},
	{"nats", "", "servers of a NATS cluster to run on, with commas between; empty runs the embedded one", true, plain(func(c *config) *string { return &c.NATS })},
	{"nats_ca", "", "certificate authority of that cluster, PEM; empty: the system's", true, plain(func(c *config) *string { return &c.NATSCA })},
	{"nats_journal", "", "credentials of the journal's account, .creds or NKey seed; empty: creds/journal.nk", true, plain(func(c *config) *string { return &c.NATSJournal })},
	{"nats_switch", "", "credentials of the participants' account; empty: creds/switch.nk", true, plain(func(c *config) *string { return &c.NATSSwitch })},
	{"nats_system", "", "credentials of the system account, to see how the cluster stores; empty: creds/system.seed, if there is one", true, plain(func(c *config) *string { return &c.NATSSystem })},
	{"standby", "false", "wait behind the switch that writes, and take over when it is lost", true, yesOrNo(func(c *config) *bool { return &c.Standby })},
	{"admit_standby", "false", "let another switch stand by over the embedded NATS", true, yesOrNo(func(c *config) *bool { return &c.AdmitStandby })},
	{"shard", "1/1", "which shard this is of how many, as 2/3; each has a journal of its own on the same NATS, and the first one settles", true, setShard},
	{"replicas", "0", "copies of the journal in the cluster, 1 or 3; 0: 3 in a cluster, else 1", true, setReplicas},
	{"allow_unseen", "false", "DANGER: run on a cluster that is not seen to sync what it acknowledges", true, yesOrNo(func(c *config) *bool { return &c.AllowUnseen })},
}

// flag returns the name of the setting's flag.
func (s *setting) flag() string { return strings.ReplaceAll(s.key, "_", "-") }

// variable returns the name of the setting's environment variable.
func (s *setting) variable() string { return "TONGMA_" + strings.ToUpper(s.key) }

func plain(of func(*config) *string) func(*config, string) error {
	return func(c *config, value string) error { *of(c) = value; return nil }
}

func address(of func(*config) *string) func(*config, string) error {
	return func(c *config, value string) error {
		*of(c) = value
		if value == "" {
			return nil
		}
		_, port, err := net.SplitHostPort(value)
		if n, e := strconv.ParseUint(port, 10, 16); err != nil || e != nil || n > 65535 {
			return errors.New("want host:port, as 127.0.0.1:8480")
		}
		return nil
	}
}

func setWindowEvery(c *config, value string) (err error) {
	c.WindowEvery, err = time.ParseDuration(value)
	if err != nil || c.WindowEvery < 0 || (c.WindowEvery > 0 && c.WindowEvery < time.Second) {
		return errors.New("want 0s, or a duration of a second or more, as 15m or 24h")
	}
	return nil
}

func setLogLevel(c *config, value string) error {
	c.LogLevel = value
	if levels := []string{"debug", "info", "warn", "error"}; !slices.Contains(levels, value) {
		return errors.New("want one of " + strings.Join(levels, ", "))
	}
	return nil
}

func yesOrNo(of func(*config) *bool) func(*config, string) error {
	return func(c *config, value string) (err error) {
		if *of(c), err = strconv.ParseBool(value); err != nil {
			return errors.New("want true or false")
		}
		return nil
	}
}

// setShard reads K/N. One of one is what a switch is without.
func setShard(c *config, value string) error {
	k, n, _ := strings.Cut(value, "/")
	self, err := strconv.ParseUint(k, 10, 16)
	count, e := strconv.ParseUint(n, 10, 16)
	if err != nil || e != nil || self == 0 || self > count || count > clearing.MaxShards {
		return fmt.Errorf("want K/N, as 2/3, of at most %d shards", clearing.MaxShards)
	}
	if c.Shard, c.Shards = 0, 0; count > 1 {
		c.Shard, c.Shards = uint16(self), uint16(count)
	}
	return nil
}

func setReplicas(c *config, value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || (n != 0 && n != 1 && n != 3) {
		return errors.New("want 1 or 3, or 0 for what the servers call for")
	}
	c.Replicas = n
	return nil
}

// together lists settings that do not go together.
func (c *config) together() (faults configError) {
	wrong := func(key, message string) {
		faults = append(faults, configFault{Key: key, Where: "settings", Message: message})
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		wrong("tls_key", "tls_cert and tls_key go together")
	}
	switch {
	case c.NATS != "" && c.AdmitStandby:
		wrong("admit_standby", "is for the embedded NATS: on a cluster, its accounts say who may stand by")
	case c.NATS == "" && c.Shards > 1:
		wrong("shard", "goes with nats: several shards share a NATS that none of them has in itself")
	case c.NATS == "" && c.Standby:
		wrong("standby", "goes with nats: whoever has the NATS in itself cannot stand by")
	case c.NATS == "" && c.Replicas > 1:
		wrong("replicas", "go with nats: the embedded one is alone")
	case c.NATS == "" && c.AllowUnseen:
		wrong("allow_unseen", "goes with nats: the embedded one syncs every message")
	}
	return faults
}

// origin says where a setting's value comes from.
type origin struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Source string `json:"source"` // "flag", "environment", "file" or "default"
	Where  string `json:"where"`  // "--http-listen", "TONGMA_HTTP_LISTEN", "tongma.yaml:3", ""
}

// configFault is one thing that is wrong with the settings.
type configFault struct {
	Key     string `json:"key,omitempty"`
	Where   string `json:"where"`
	Message string `json:"message"`
	Meant   string `json:"meant,omitempty"` // what was probably meant
}

// configError is all that is wrong with the settings.
type configError []configFault

// Error lists the faults, one a line.
func (e configError) Error() string {
	lines := make([]string, len(e))
	for i, f := range e {
		lines[i] = f.Where + ": "
		if f.Key != "" && strings.TrimPrefix(f.Where, "--") != strings.ReplaceAll(f.Key, "_", "-") { // a flag has the name already
			lines[i] += f.Key + ": "
		}
		lines[i] += f.Message
		if f.Meant != "" {
			lines[i] += "; did you mean " + f.Meant + "?"
		}
	}
	return strings.Join(lines, "\n")
}

// loadConfig layers flags over environment over file over defaults. It reports
// everything that is wrong at once, as a configError. Unknown keys of the file and
// unknown variables that start as ours are wrong: a misspelt setting must not pass
// as none. environ is as of os.Environ.
func loadConfig(flags *pflag.FlagSet, environ []string, file string) (config, []origin, error) {
	var faults configError
	layer, err := fileLayer(file, &faults)
	if err != nil {
		return config{}, nil, err
	}
	env := environmentLayer(environ, &faults)
	var c config
	origins := make([]origin, 0, len(settings))
	for i := range settings {
		s := &settings[i]
		o := origin{Key: s.key, Value: s.byDefault, Source: "default", Where: "default"}
		if v, ok := layer[s.key]; ok {
			o.Value, o.Source, o.Where = v.value, "file", fmt.Sprintf("%s:%d", file, v.line)
		}
		if v, ok := env[s.key]; ok {
			o.Value, o.Source, o.Where = v, "environment", s.variable()
		}
		if f := flags.Lookup(s.flag()); f != nil && f.Changed {
			o.Value, o.Source, o.Where = f.Value.String(), "flag", "--"+s.flag()
		}
		if err := s.set(&c, o.Value); err != nil {
			faults = append(faults, configFault{Key: s.key, Where: o.Where, Message: err.Error()})
		}
		origins = append(origins, o)
	}
	if faults = append(faults, c.together()...); len(faults) > 0 {
		return c, origins, faults
	}
	return c, origins, nil
}

type fileValue struct {
	value string
	line  int
}

const maxConfig = 64 << 10

// fileLayer reads the keys of a YAML file. No name, no keys.
func fileLayer(name string, faults *configError) (map[string]fileValue, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, &exitError{code: exitConfig, err: err}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil || len(data) > maxConfig {
		return nil, failf(exitConfig, "%s cannot be read, or is longer than %d bytes", name, maxConfig)
	}
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		return nil, failf(exitConfig, "%s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, failf(exitConfig, "%s:%d: want a mapping of settings", name, root.Line)
	}
	return fileKeys(name, root, faults), nil
}

func fileKeys(name string, root *yaml.Node, faults *configError) map[string]fileValue {
	values := map[string]fileValue{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		k, v := root.Content[i], root.Content[i+1]
		where := fmt.Sprintf("%s:%d", name, k.Line)
		_, twice := values[k.Value]
		switch {
		case !slices.ContainsFunc(settings, func(s setting) bool { return s.key == k.Value }):
			*faults = append(*faults, configFault{Key: clean(k.Value), Where: where, Message: "no such setting", Meant: nearest(k.Value, settingKeys())})
		case twice:
			*faults = append(*faults, configFault{Key: k.Value, Where: where, Message: "given twice"})
		case v.Kind != yaml.ScalarNode:
			*faults = append(*faults, configFault{Key: k.Value, Where: where, Message: "want one value"})
		default:
			values[k.Value] = fileValue{v.Value, k.Line}
		}
	}
	return values
}

func settingKeys() []string {
	keys := make([]string, len(settings))
	for i := range settings {
		keys[i] = settings[i].key
	}
	return keys
}

// clientVariables are those that are no settings of a switch.
var clientVariables = []string{"TONGMA_URL", "TONGMA_TOKEN_FILE", "TONGMA_CONFIG"}

// injected tells whether a variable is one of those that Kubernetes sets in every
// container beside a service called tongma.
func injected(name string) bool {
	return strings.HasPrefix(name, "TONGMA_SERVICE_") || name == "TONGMA_PORT" || strings.HasPrefix(name, "TONGMA_PORT_")
}

func environmentLayer(environ []string, faults *configError) map[string]string {
	values := map[string]string{}
	known := slices.Clone(clientVariables)
	for i := range settings {
		known = append(known, settings[i].variable())
	}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "TONGMA_") || slices.Contains(clientVariables, name) || injected(name) {
			continue
		}
		if !slices.Contains(known, name) {
			*faults = append(*faults, configFault{Key: name, Where: "environment", Message: "no such setting", Meant: nearest(name, known)})
			continue
		}
		values[strings.ToLower(strings.TrimPrefix(name, "TONGMA_"))] = value
	}
	return values
}

// addListenFlags gives a command the flags of all settings that are for it, and
// --config.
func addListenFlags(cmd *cobra.Command) {
	for i := range settings {
		s := &settings[i]
		switch {
		case s.serveOnly && cmd.Name() == "demo":
		case s.boolean():
			cmd.Flags().Bool(s.flag(), s.byDefault == "true", s.doc)
		default:
			cmd.Flags().String(s.flag(), s.byDefault, s.doc)
		}
	}
	cmd.Flags().String("config", "", "YAML file of settings; TONGMA_CONFIG")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
}

// settings loads the configuration of a command that has addListenFlags.
func (a *app) settings(cmd *cobra.Command) (config, error) {
	c, _, err := a.loadSettings(cmd)
	return c, err
}

func (a *app) loadSettings(cmd *cobra.Command) (config, []origin, error) {
	file, _ := cmd.Flags().GetString("config")
	if file == "" {
		file = a.env("TONGMA_CONFIG")
	}
	c, origins, err := loadConfig(cmd.Flags(), a.environ(), file)
	var faults configError
	if errors.As(err, &faults) {
		err = &exitError{code: exitConfig, err: faults, next: []string{"tongma config validate --config FILE", "tongma config show --origin"}}
	}
	return c, origins, err
}

func newConfigCmd(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "config",
		Short: "Write, check and show the settings of a switch",
		Example: `  tongma config init > tongma.yaml
  tongma config validate --config tongma.yaml
  tongma config show --origin --config tongma.yaml`,
		Long: settingsHelp(),
	}, newConfigInitCmd(a), newConfigValidateCmd(a), newConfigShowCmd(a))
}

// settingsHelp lists the settings with their variables and defaults.
func settingsHelp() string {
	var b strings.Builder
	b.WriteString("A flag goes before the environment, the environment before the file, the file before the default.\n\n")
	var rows [][]string
	for i := range settings {
		s := &settings[i]
		rows = append(rows, []string{s.key, "--" + s.flag(), s.variable(), s.byDefault, s.doc})
	}
	showTable(&b, []column{left("key"), left("flag"), left("environment"), left("default"), left("what")}, rows)
	return b.String()
}

func newConfigInitCmd(a *app) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a settings file with all defaults",
		Example: `  tongma config init > tongma.yaml
  tongma config init --out tongma.yaml`,
		Long: "An existing file is not overwritten. With --json the settings come as an object.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				values := map[string]string{}
				for i := range settings {
					values[settings[i].key] = settings[i].byDefault
				}
				a.print(values, func(w io.Writer) { _, _ = io.WriteString(w, defaultFile()) })
				return nil
			}
			f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if errors.Is(err, os.ErrExist) {
				return failf(exitConflict, "%s exists", out)
			}
			if err != nil {
				return fileError(err)
			}
			_, err = f.WriteString(defaultFile())
			if err := errors.Join(err, f.Close()); err != nil {
				return fileError(err)
			}
			a.say("written: %s", out)
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "write to this new file instead of stdout")
	return cmd
}

func defaultFile() string {
	var b strings.Builder
	b.WriteString("# Settings of tongma serve. A flag goes before TONGMA_..., that before this file.\n")
	for i := range settings {
		s := &settings[i]
		value := s.byDefault
		if value == "" || strings.Contains(value, ":") {
			value = strconv.Quote(value)
		}
		fmt.Fprintf(&b, "\n# %s\n%s: %s\n", s.doc, s.key, value)
	}
	return b.String()
}

type validation struct {
	Valid  bool          `json:"valid"`
	Faults []configFault `json:"faults"`
}

func newConfigValidateCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:        "validate [FILE]",
		SuggestFor: []string{"check"},
		Short:      "Check the settings, and say what is wrong and where",
		Example: `  tongma config validate tongma.yaml
  tongma config validate --config tongma.yaml --json`,
		Long: "FILE is the same as --config FILE. Exit code 3 if anything is wrong; stdout says what.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if cmd.Flags().Changed("config") {
					return failf(exitUsage, "give FILE or --config, not both")
				}
				_ = cmd.Flags().Set("config", args[0]) // a text: cannot fail
			}
			_, _, err := a.loadSettings(cmd)
			v := validation{Valid: err == nil, Faults: []configFault{}}
			var faults configError
			if errors.As(err, &faults) {
				v.Faults = faults
			} else if err != nil {
				return err
			}
			a.print(v, func(w io.Writer) {
				p := a.paint(w)
				if v.Valid {
					fmt.Fprintln(w, p.green("✓")+" the settings are valid")
					return
				}
				for _, line := range strings.Split(faults.Error(), "\n") {
					fmt.Fprintln(w, p.red("✗")+" "+clean(line))
				}
			})
			if !v.Valid {
				return &exitError{code: exitConfig}
			}
			return nil
		},
	}
	addListenFlags(cmd)
	return cmd
}

func newConfigShowCmd(a *app) *cobra.Command {
	var withOrigin bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show the settings that a switch would run with, and where each comes from",
		Example: `  tongma config show --origin --config tongma.yaml
  TONGMA_HTTP_LISTEN=127.0.0.1:9000 tongma config show --origin --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			_, origins, err := a.loadSettings(cmd)
			if err != nil {
				return err
			}
			if !withOrigin {
				values := map[string]string{}
				for _, o := range origins {
					values[o.Key] = o.Value
				}
				a.print(values, func(w io.Writer) {
					for _, o := range origins {
						fmt.Fprintf(w, "%s: %s\n", o.Key, clean(o.Value))
					}
				})
				return nil
			}
			a.print(struct {
				Settings []origin `json:"settings"`
			}{origins}, func(w io.Writer) {
				var rows [][]string
				for _, o := range origins {
					rows = append(rows, []string{o.Key, o.Value, o.Where})
				}
				showTable(w, []column{left("setting"), left("value"), left("from")}, rows)
			})
			return nil
		},
	}
	addListenFlags(cmd)
	cmd.Flags().BoolVar(&withOrigin, "origin", false, "say where each value comes from")
	return cmd
}
