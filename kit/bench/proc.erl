%% The workloads of "netsplit bench proc" on Erlang's own nodes. A node takes lines "Op Count Senders" on its standard input and
%% answers "ok Figure..." or "error Text"; it ends with its input. The module is the nodes' epmd too: the first node tells the
%% port that it listens on, and the second one is started with it (-netsplit_port), so that no daemon is needed or left.
-module(netsplit_bench).
-export([serve/0, add/2, echo/0, nothing/0, waits/0, sink/2, sender/2]).
-export([start_link/0, register_node/2, register_node/3, address_please/3, port_please/2, port_please/3, listen_port_please/2,
         names/1]).

-define(PATIENCE, 60000).

%% The epmd.

start_link() -> ignore.

register_node(Name, Port) -> register_node(Name, Port, inet).

register_node(_Name, Port, _Family) ->
    persistent_term:put(netsplit_listens, Port),
    {ok, rand:uniform(1 bsl 30) + 3}.

address_please(_Name, _Host, _Family) ->
    case init:get_argument(netsplit_port) of
        {ok, [[Port | _] | _]} -> {ok, {127, 0, 0, 1}, list_to_integer(Port), 6};
        _ -> {error, nxdomain}
    end.

port_please(Name, Host) -> port_please(Name, Host, infinity).

port_please(Name, Host, _Timeout) ->
    case address_please(Name, Host, inet) of
        {ok, _, Port, Version} -> {port, Port, Version};
        _ -> noport
    end.

listen_port_please(_Name, _Host) -> {ok, 0}.

names(_Host) -> {error, address}.

%% The conversation with whoever started the node.

serve() ->
    io:format("ready ~s ~w~n", [erlang:system_info(otp_release), persistent_term:get(netsplit_listens)]),
    loop().

loop() ->
    case io:get_line("") of
        Line when is_list(Line) ->
            case string:lexemes(Line, " \n") of
                ["connect", Node] -> io:format("~w~n", [net_kernel:connect_node(list_to_atom(Node))]);
                [Op, Count, Senders] -> io:format("~s~n", [sample(Op, list_to_integer(Count), list_to_integer(Senders))]);
                _ -> io:format("error unknown~n")
            end,
            loop();
        _ ->
            erlang:halt(0)
    end.

%% A sample has a process of its own.
sample(Op, Count, Senders) ->
    {Pid, Ref} = spawn_monitor(fun() -> exit({figures, op(Op, Count, Senders)}) end),
    receive
        {'DOWN', Ref, process, Pid, {figures, Figures}} -> ["ok" | [io_lib:format(" ~w", [float(F)]) || F <- Figures]];
        {'DOWN', Ref, process, Pid, Reason} -> io_lib:format("error ~0p", [Reason])
    end.

op("round_trip_remote", Count, _) -> round_trips(other(), Count);
op("round_trip", Count, _) -> round_trips(node(), Count);
op("spawn_remote", Count, _) -> Other = other(), each(fun() -> spawn(Other, ?MODULE, nothing, []) end, Count);
op("watch_remote", Count, _) ->
    Other = other(),
    each(fun() ->
                 {_, Ref} = spawn_monitor(Other, ?MODULE, nothing, []),
                 receive {'DOWN', Ref, process, _, _} -> ok after ?PATIENCE -> exit(timeout) end
         end, Count);
op("call_remote", Count, _) ->
    Other = other(),
    each(fun() -> 3 = erpc:call(Other, ?MODULE, add, [1, 2], ?PATIENCE) end, Count);
op("messages", Count, Senders) ->
    Each = max(Count div max(Senders, 1), 1),
    To = spawn(other(), ?MODULE, sink, [self(), Each * Senders]),
    Begun = now_ns(),
    [spawn(?MODULE, sender, [To, Each]) || _ <- lists:seq(1, Senders)],
    take(),
    [Each * Senders * 1.0e9 / (now_ns() - Begun)];
op("spawn", Count, _) ->
    Self = self(),
    Begun = now_ns(),
    times(fun() -> spawn(?MODULE, nothing, []) end, Count - 1),
    spawn(fun() -> Self ! done end),
    take(),
    [micros(Begun, Count)];
op("mailbox", Count, _) ->
    Self = self(),
    Box = spawn(fun() -> take(), T = now_ns(), times(fun() -> receive _ -> ok end end, Count - 1), Self ! {took, micros(T, Count - 1)} end),
    erlang:suspend_process(Box),
    Begun = now_ns(),
    fill(Box, 0, Count),
    Sent = micros(Begun, Count),
    erlang:resume_process(Box),
    {took, Received} = take(),
    [Sent, Received];
op("alive", Count, _) ->
    Base = case get_base() of undefined -> B = in_use(), persistent_term:put(netsplit_base, B), B; B -> B end,
    Before = erlang:system_info(process_count),
    Begun = now_ns(),
    All = [spawn(?MODULE, waits, []) || _ <- lists:seq(1, Count)],
    Spawned = micros(Begun, Count),
    Memory = (in_use() - Base) / Count,
    Ends = now_ns(),
    [P ! stop || P <- All],
    await_count(Before),
    [Spawned, Memory, micros(Ends, Count)].

other() -> hd(nodes()).

now_ns() -> erlang:monotonic_time(nanosecond).

micros(Begun, N) -> (now_ns() - Begun) / 1000 / N.

each(F, N) ->
    Begun = now_ns(),
    times(F, N),
    [micros(Begun, N)].

times(_, N) when N =< 0 -> ok;
times(F, N) -> F(), times(F, N - 1).

take() -> receive M -> M after ?PATIENCE -> exit(timeout) end.

round_trips(At, Count) ->
    Pid = spawn(At, ?MODULE, echo, []),
    Begun = now_ns(),
    trips(Pid, 0, Count),
    F = micros(Begun, Count),
    Pid ! stop,
    [F].

trips(_, N, N) -> ok;
trips(Pid, I, N) -> Pid ! {self(), I}, take(), trips(Pid, I + 1, N).

echo() ->
    receive
        stop -> ok;
        {From, V} -> From ! {echo, V}, echo()
    end.

nothing() -> ok.

waits() -> receive _ -> ok end.

add(A, B) -> A + B.

sink(To, 0) -> To ! done;
sink(To, N) -> take(), sink(To, N - 1).

sender(To, N) -> fill(To, 0, N).

fill(_, N, N) -> ok;
fill(To, I, N) -> To ! {bench, I}, fill(To, I + 1, N).

get_base() -> persistent_term:get(netsplit_base, undefined).

in_use() -> erlang:memory(total).

await_count(N) ->
    case erlang:system_info(process_count) > N of
        true -> erlang:yield(), await_count(N);
        false -> ok
    end.
