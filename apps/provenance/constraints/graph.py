"""Strongly connected components and cycles, without recursion, in time proportional to nodes and edges."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence


def components(successors: Sequence[Sequence[int]]) -> list[int]:
    """Return the component of each node (Tarjan 1972); two nodes share one if and only if each reaches the other.

    Parameters
    ----------
    successors : sequence of sequences
        Node -> the nodes that its edges lead to; nodes are ``0 .. n-1``.
    """
    count = len(successors)
    order, low, component = [-1] * count, [0] * count, [-1] * count
    stack: list[int] = []
    clock = 0
    for start in range(count):
        if order[start] >= 0:
            continue
        work = [(start, iter(successors[start]))]
        order[start] = low[start] = clock
        clock += 1
        stack.append(start)
        while work:
            node, rest = work[-1]
            for following in rest:
                if order[following] < 0:
                    order[following] = low[following] = clock
                    clock += 1
                    stack.append(following)
                    work.append((following, iter(successors[following])))
                    break
                if component[following] < 0 and order[following] < low[node]:
                    low[node] = order[following]
            else:
                work.pop()
                if low[node] == order[node]:
                    _close(node, stack, component)
                if work and low[node] < low[work[-1][0]]:
                    low[work[-1][0]] = low[node]
    return component


def _close(root: int, stack: list[int], component: list[int]) -> None:
    while True:
        node = stack.pop()
        component[node] = root
        if node == root:
            return


def path(edges: Iterable[tuple[int, int, int]], start: int, goal: int) -> list[int]:
    """Return the numbers of the edges of a shortest path; empty where start is the goal or there is none.

    Parameters
    ----------
    edges : iterable of (tail, head, number)
        The graph.
    """
    leaving: dict[int, list[tuple[int, int]]] = {}
    for tail, head, number in edges:
        leaving.setdefault(tail, []).append((head, number))
    came: dict[int, tuple[int, int]] = {}
    waiting = deque([start])
    while waiting and goal not in came and start != goal:
        node = waiting.popleft()
        for head, number in leaving.get(node, ()):
            if head not in came and head != start:
                came[head] = (node, number)
                waiting.append(head)
    steps: list[int] = []
    node = goal
    while node != start and node in came:
        node, number = came[node]
        steps.append(number)
    return steps[::-1]
